// Runs CUDA C++ kernels on the CPU: include it, then the .cu, and compile both as C++.
//
// Every CUDA thread of a block is a fiber; __syncthreads hands over to the next one. Threads of a block run one after
// the other up to the next barrier, so a missing barrier gives wrong results every time, not now and then. Blocks run
// one after the other too. No warp intrinsics, no atomics.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <ucontext.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __grid_constant__
#define __shared__ static
#define __launch_bounds__(threads)

using std::max;
using std::min;

struct dim3 {
    unsigned x, y, z;
};
struct float4 {
    float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

struct Fiber {
    ucontext_t start;
    jmp_buf at;
    std::vector<char> stack = std::vector<char>(1 << 15);
    bool begun = false, done = false;
};

inline std::vector<Fiber> fibers;
inline std::function<void()> kernel;
inline jmp_buf scheduler;
inline unsigned running;

inline void yield() {
    if (!_setjmp(fibers[running].at)) _longjmp(scheduler, 1);
}

inline void body() {
    for (;;) {
        kernel();
        fibers[running].done = true;
        yield();
    }
}

inline void resume(unsigned index) {
    running = index;
    threadIdx = {index % blockDim.x, index / blockDim.x % blockDim.y, index / (blockDim.x * blockDim.y)};
    if (_setjmp(scheduler)) return;
    Fiber& fiber = fibers[index];
    if (fiber.begun) _longjmp(fiber.at, 1);
    fiber.begun = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.data();
    fiber.start.uc_stack.ss_size = fiber.stack.size();
    makecontext(&fiber.start, body, 0);
    setcontext(&fiber.start);
}

// One launch; false where some threads of a block wait at a barrier that others have passed by.
inline bool launch(dim3 grid, dim3 block, std::function<void()> call) {
    unsigned threads = block.x * block.y * block.z;
    gridDim = grid, blockDim = block, kernel = std::move(call);
    if (fibers.size() < threads) fibers = std::vector<Fiber>(threads);
    for (unsigned b = 0; b < grid.x * grid.y * grid.z; b++) {
        blockIdx = {b % grid.x, b / grid.x % grid.y, b / (grid.x * grid.y)};
        for (unsigned t = 0; t < threads; t++) fibers[t].done = false;
        for (unsigned waiting = threads; waiting;) {
            unsigned before = waiting;
            for (unsigned t = 0; t < threads; t++) {
                if (fibers[t].done) continue;
                resume(t);
                waiting -= fibers[t].done;
            }
            if (waiting && waiting != before) return false;
        }
    }
    return true;
}

// After a fault: fibers that were interrupted must not go on where they were.
inline void forget() { fibers.clear(); }

// A kernel by name, and how its arguments lie in a launch's parameter buffer.
using Run = std::function<bool(dim3, dim3, const std::vector<char>&)>;
inline std::map<std::string, Run> kernels;

template <class... A>
struct Registered {
    Registered(const char* name, void (*function)(A...)) {
        kernels[name] = [function](dim3 grid, dim3 block, const std::vector<char>& packed) {
            std::tuple<A...> arguments;
            size_t at = 0;
            std::apply([&](A&... argument) { (read(argument, packed, at), ...); }, arguments);
            return launch(grid, block, [=] { std::apply(function, arguments); });
        };
    }

    template <class T>
    static void read(T& argument, const std::vector<char>& packed, size_t& at) {
        at = (at + alignof(T) - 1) / alignof(T) * alignof(T);
        std::copy_n(packed.data() + at, sizeof(T), reinterpret_cast<char*>(&argument));
        at += sizeof(T);
    }
};

}  // namespace shim

inline void __syncthreads() { shim::yield(); }
