// Kernels that go where a test sends them: what the stub driver must catch.
extern "C" __global__ void read_at(float* values, int index) { values[0] = values[index]; }

extern "C" __global__ void write_at(float* values, int index) { values[index] = 1; }

extern "C" __global__ void share_at(float* values, int index) {
    __shared__ float shared[8];
    shared[index] = 1;
    values[0] = shared[index];
}
