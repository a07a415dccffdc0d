// A libcuda.so.1 for machines without a GPU: it keeps memory, copies, streams, events and modules as the driver does,
// and carries launches out through shim.h. Functions that are not here answer "not supported" (see build.py).
//
// - Every allocation ends where an unreadable page begins: a kernel that reads or writes past it gets "illegal address".
// - Asynchronous work waits in its stream until somebody synchronises: a forgotten synchronisation gives wrong results.
// - stub_fail(name, code) makes the next call of a function fail, stub_fail_at(number, code) the one of that number from
//   now on among all that work in a context; stub_calls() counts them. What gives something back does so and fails then,
//   as it tells of earlier work. stub_live(kind) counts what is not given back. stub_fill(room) leaves so many bytes.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <deque>
#include <mutex>

#include "shim.h"

using Code = int;
enum : Code {
    OK = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_CONTEXT = 201,
    NO_BINARY = 209,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
};

struct Block {
    void* pages;
    size_t length, size;
};
struct Stream {
    std::deque<std::function<Code()>> waiting;
};
struct Module {
    const char* kind;
    std::map<std::string, shim::Run*> functions;
};

static std::map<std::string, Code> failing;
static std::map<std::string, long> live;
static std::map<char*, Block> device_memory, host_memory;
static thread_local std::vector<int> contexts;  // the stack of a thread, as far as we need it
static std::recursive_mutex one_at_a_time;
static long calls, failing_call;
static Code failing_code;
static Stream default_stream;
static Code sticky;  // after a fault the context is lost, as on a device
static const size_t MEMORY = size_t(2) << 30;
static size_t used, limit = MEMORY;

static Code injected(const char* name) {
    auto found = failing.find(name);
    if (found == failing.end()) return OK;
    Code code = found->second;
    failing.erase(found);
    return code;
}
#define LOCKED std::lock_guard<std::recursive_mutex> held(one_at_a_time)
#define CALL(name)                                                   \
    LOCKED;                                                          \
    if (Code code = injected(#name)) return code
#define COUNTED_CALL(name)                                           \
    CALL(name);                                                      \
    if (++calls == failing_call) return failing_code
#define CALL_IN_CONTEXT(name)                                        \
    COUNTED_CALL(name);                                              \
    if (contexts.empty()) return INVALID_CONTEXT;                    \
    if (sticky) return sticky

static char* guarded(std::map<char*, Block>& kept, size_t size) {
    size_t page = sysconf(_SC_PAGESIZE), body = (size + page - 1) / page * page;
    char* pages = (char*)mmap(nullptr, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages + page, body, PROT_READ | PROT_WRITE);
    char* begin = pages + page + body - (size + 3) / 4 * 4;  // flush with the end, at a word
    memset(pages + page, 0xff, body);                        // NaN, for whoever reads what was never written
    kept[begin] = {pages, body + 2 * page, size};
    return begin;
}

static Code give_back(std::map<char*, Block>& kept, void* at, const char* kind) {
    auto found = kept.find((char*)at);
    if (found == kept.end()) return INVALID_VALUE;
    if (&kept == &device_memory) used -= found->second.size;
    munmap(found->second.pages, found->second.length);
    kept.erase(found);
    live[kind]--;
    return OK;
}

static bool inside(std::map<char*, Block>& kept, const void* at, size_t size) {
    auto above = kept.upper_bound((char*)at);
    if (above == kept.begin()) return false;
    auto& [begin, block] = *--above;
    return (char*)at + size <= begin + block.size;
}

static sigjmp_buf fault;
static void on_fault(int) { siglongjmp(fault, 1); }

// Runs `work`; an access out of bounds, of memory or of a __shared__ array, is answered as the device answers it.
static Code shielded(const std::function<Code()>& work) {
    struct sigaction ours = {}, segv, ill;
    ours.sa_handler = on_fault;
    ours.sa_flags = SA_ONSTACK;
    sigaction(SIGSEGV, &ours, &segv);
    sigaction(SIGILL, &ours, &ill);
    Code code;
    if (sigsetjmp(fault, 1)) {
        shim::forget();
        code = sticky = ILLEGAL_ADDRESS;
    } else {
        code = work();
    }
    sigaction(SIGSEGV, &segv, nullptr);
    sigaction(SIGILL, &ill, nullptr);
    return code;
}

static Code drain(Stream* stream) {
    stream = stream ? stream : &default_stream;
    while (!stream->waiting.empty()) {
        auto work = std::move(stream->waiting.front());
        stream->waiting.pop_front();
        if (Code code = shielded(work)) return sticky = code;
    }
    return OK;
}

static void later(Stream* stream, std::function<Code()> work) {
    (stream ? stream : &default_stream)->waiting.push_back(std::move(work));
}

extern "C" {

void stub_fail(const char* name, Code code) { failing[name] = code; }
void stub_fail_at(long number, Code code) { failing_call = calls + number, failing_code = code; }
void stub_reset() { failing.clear(), failing_call = 0, sticky = OK, limit = MEMORY; }
void stub_fill(long room) { limit = used + room; }
long stub_calls() { return calls; }
long stub_live(const char* kind) { return live[kind]; }

Code cuInit(unsigned) {
    CALL(cuInit);
    return OK;
}
Code cuDriverGetVersion(int* version) {
    CALL(cuDriverGetVersion);
    *version = 13000;
    return OK;
}
Code cuGetErrorString(Code code, const char** text) {
    static const std::map<Code, const char*> texts = {
        {OUT_OF_MEMORY, "out of memory"},
        {INVALID_CONTEXT, "invalid device context"},
        {NO_BINARY, "no kernel image is available for execution on the device"},
        {INVALID_HANDLE, "invalid resource handle"},
        {NOT_FOUND, "named symbol not found"},
        {ILLEGAL_ADDRESS, "an illegal memory access was encountered"},
        {LAUNCH_FAILED, "unspecified launch failure"},
        {801, "operation not supported"},
    };
    auto found = texts.find(code);
    *text = found == texts.end() ? "unknown error" : found->second;
    return OK;
}
Code cuGetExportTable(const size_t** table, const void*) {  // NVRTC asks for one, and reads its size in any case
    static const size_t empty = 0;
    *table = &empty;
    return 801;
}
Code cuDeviceGetCount(int* count) {
    CALL(cuDeviceGetCount);
    *count = 1;
    return OK;
}
Code cuDeviceGet(int* device, int) {
    CALL(cuDeviceGet);
    *device = 0;
    return OK;
}
Code cuDeviceGetName(char* name, int length, int) {
    CALL(cuDeviceGetName);
    snprintf(name, length, "CPU behind a stub driver");
    return OK;
}
Code cuDeviceGetAttribute(int* value, int attribute, int) {
    CALL(cuDeviceGetAttribute);
    const char* arch = getenv("STUB_ARCH");
    int number = arch ? atoi(arch) : 89;
    *value = attribute == 75 ? number / 10 : attribute == 76 ? number % 10 : 1;
    return OK;
}
Code cuDeviceTotalMem_v2(size_t* bytes, int) {
    CALL(cuDeviceTotalMem);
    *bytes = MEMORY;
    return OK;
}
Code cuDevicePrimaryCtxRetain(void** context, int) {
    CALL(cuDevicePrimaryCtxRetain);
    *context = &contexts;
    live["context"]++;
    return OK;
}
Code cuDevicePrimaryCtxRelease_v2(int) {
    LOCKED;
    live["context"]--;
    return injected("cuDevicePrimaryCtxRelease");
}
Code cuCtxPushCurrent_v2(void*) {
    COUNTED_CALL(cuCtxPushCurrent);
    contexts.push_back(0);
    return OK;
}
Code cuCtxPopCurrent_v2(void** context) {
    if (contexts.empty()) return INVALID_CONTEXT;
    contexts.pop_back();
    if (context) *context = &contexts;
    return OK;
}
Code cuCtxCreate_v2(void** context, unsigned, int) {  // for FFmpeg
    contexts.push_back(0);
    *context = &contexts;
    return OK;
}
Code cuCtxDestroy_v2(void*) { return OK; }
Code cuCtxGetDevice(int* device) {
    *device = 0;
    return contexts.empty() ? INVALID_CONTEXT : OK;
}
Code cuCtxSynchronize() {
    CALL_IN_CONTEXT(cuCtxSynchronize);
    return drain(nullptr);
}

Code cuMemGetInfo_v2(size_t* free, size_t* total) {
    CALL_IN_CONTEXT(cuMemGetInfo);
    *free = MEMORY - used, *total = MEMORY;
    return OK;
}
Code cuMemAlloc_v2(void** at, size_t size) {
    CALL_IN_CONTEXT(cuMemAlloc);
    if (!size) return INVALID_VALUE;
    if (used + size > limit) return OUT_OF_MEMORY;
    *at = guarded(device_memory, size);
    used += size;
    live["device memory"]++;
    return OK;
}
Code cuMemFree_v2(void* at) {
    LOCKED;
    Code code = give_back(device_memory, at, "device memory");
    return code ? code : injected("cuMemFree");
}
Code cuMemHostAlloc(void** at, size_t size, unsigned) {
    CALL_IN_CONTEXT(cuMemHostAlloc);
    *at = guarded(host_memory, size);
    live["pinned memory"]++;
    return OK;
}
Code cuMemFreeHost(void* at) {
    LOCKED;
    Code code = give_back(host_memory, at, "pinned memory");
    return code ? code : injected("cuMemFreeHost");
}
static Code copy(void* to, const void* from, size_t size, bool to_device, bool from_device) {
    if (to_device && !inside(device_memory, to, size)) return INVALID_VALUE;
    if (from_device && !inside(device_memory, from, size)) return INVALID_VALUE;
    memcpy(to, from, size);
    return OK;
}
Code cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t size, Stream* stream) {
    CALL_IN_CONTEXT(cuMemcpyHtoDAsync);
    later(stream, [=] { return copy(to, from, size, true, false); });
    return OK;
}
Code cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t size, Stream* stream) {
    CALL_IN_CONTEXT(cuMemcpyDtoHAsync);
    later(stream, [=] { return copy(to, from, size, false, true); });
    return OK;
}
Code cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t size, Stream* stream) {
    CALL_IN_CONTEXT(cuMemcpyDtoDAsync);
    later(stream, [=] { return copy(to, from, size, true, true); });
    return OK;
}
Code cuMemcpyHtoD_v2(void* to, const void* from, size_t size) {
    CALL_IN_CONTEXT(cuMemcpyHtoD);
    return copy(to, from, size, true, false);
}
Code cuMemcpyDtoH_v2(void* to, const void* from, size_t size) {
    CALL_IN_CONTEXT(cuMemcpyDtoH);
    return copy(to, from, size, false, true);
}
Code cuMemsetD8Async(void* to, unsigned char value, size_t size, Stream* stream) {
    CALL_IN_CONTEXT(cuMemsetD8Async);
    later(stream, [=] {
        if (!inside(device_memory, to, size)) return INVALID_VALUE;
        memset(to, value, size);
        return OK;
    });
    return OK;
}

Code cuStreamCreate(Stream** stream, unsigned) {
    CALL_IN_CONTEXT(cuStreamCreate);
    *stream = new Stream;
    live["stream"]++;
    return OK;
}
Code cuStreamDestroy_v2(Stream* stream) {
    LOCKED;
    drain(stream);
    delete stream;
    live["stream"]--;
    return injected("cuStreamDestroy");
}
Code cuStreamSynchronize(Stream* stream) {
    CALL_IN_CONTEXT(cuStreamSynchronize);
    return drain(stream);
}

Code cuModuleLoadDataEx(Module** module, const void* image, unsigned count, const int* options, size_t* values) {
    for (unsigned i = 0; i < count; i++)
        if (options[i] == 4 || options[i] == 6) values[i] = 0;  // the lengths of the compiler's two logs
    CALL_IN_CONTEXT(cuModuleLoadDataEx);
    const unsigned char* bytes = (const unsigned char*)image;
    bool machine_code = !memcmp(bytes, "\177ELF", 4) && bytes[18] == 190;  // EM_CUDA
    if (!machine_code && memcmp(bytes, "//\n", 3)) return NO_BINARY;       // nor PTX
    *module = new Module{machine_code ? "machine code" : "PTX"};
    for (auto& [name, run] : shim::kernels) (*module)->functions[name] = &run;
    live[(*module)->kind]++;
    return OK;
}
Code cuModuleUnload(Module* module) {
    LOCKED;
    live[module->kind]--;
    delete module;
    return injected("cuModuleUnload");
}
Code cuModuleGetFunction(shim::Run** function, Module* module, const char* name) {
    CALL_IN_CONTEXT(cuModuleGetFunction);
    auto found = module->functions.find(name);
    if (found == module->functions.end()) return NOT_FOUND;
    *function = found->second;
    return OK;
}
Code cuFuncGetAttribute(int* value, int, shim::Run*) {
    *value = 0;
    return OK;
}
Code cuFuncSetBlockShape(shim::Run*, int, int, int) {  // pycuda calls it before each launch, which states the shape too
    return OK;
}
Code cuLaunchKernel(shim::Run* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                    unsigned, Stream* stream, void** parameters, void** extra) {
    CALL_IN_CONTEXT(cuLaunchKernel);
    if (parameters || !gx || !gy || !gz || gy > 65535 || gz > 65535 || bx * by * bz > 1024) return INVALID_VALUE;
    const char* packed = (const char*)extra[1];  // after CU_LAUNCH_PARAM_BUFFER_POINTER; then _SIZE and the size
    std::vector<char> arguments(packed, packed + *(size_t*)extra[3]);
    arguments.resize(arguments.size() + 16);
    later(stream, [=] { return (*function)({gx, gy, gz}, {bx, by, bz}, arguments) ? OK : LAUNCH_FAILED; });
    return OK;
}

}  // extern "C"
