// Patch flow as engine/patch_flow.py computes it, in float32, for a batch of pairs: inverse compositional
// Lucas-Kanade on patches of 8 x 8, at a quarter of the image's size and then at half of it.
// Images and levels are (2N, H, W), first all of the earlier ones and then all of the later ones.

#define SIDE 8
#define PIXELS (SIDE * SIDE)  // of a patch, and threads of its block
#define STRIDE 4
#define MARGIN 8  // px around a level that repeat its border
#define STEPS 6
#define DAMPING 200.0f
#define NEAR_PX2 1e-3f

__device__ static int clamped(int i, int size) { return min(max(i, 0), size - 1); }

template <class T>
__device__ static void halve(const T* image, float* out, int height, int width) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width / 2 || y >= height / 2) return;
    const T *upper = image + ((size_t)blockIdx.z * height + 2 * y) * width + 2 * x, *lower = upper + width;
    out[((size_t)blockIdx.z * (height / 2) + y) * (width / 2) + x] =
        ((float)upper[0] + (float)upper[1] + ((float)lower[0] + (float)lower[1])) * 0.25f;
}

// Averages 2 x 2 pixels, one thread each. image: (2N, height, width); out: (2N, height / 2, width / 2).
extern "C" __global__ void halve_image(const unsigned char* image, float* out, int height, int width) {
    halve(image, out, height, width);
}

extern "C" __global__ void halve_level(const float* level, float* out, int height, int width) {
    halve(level, out, height, width);
}

// The sums of four values over the block, returned to all its threads.
__device__ static float4 block_sums(float4 mine, float4* partial, int thread) {
    partial[thread] = mine;
    __syncthreads();
    for (int half = PIXELS / 2; half; half /= 2) {
        if (thread < half) {
            float4 other = partial[thread + half];
            partial[thread].x += other.x;
            partial[thread].y += other.y;
            partial[thread].z += other.z;
            partial[thread].w += other.w;
        }
        __syncthreads();
    }
    float4 total = partial[0];
    __syncthreads();
    return total;
}

// Interpolates the flow of the coarser level linearly at a patch of this one. coarse: (rows, columns).
__device__ static float doubled(const float* coarse, int row, int column, int rows, int columns) {
    float y = fminf(fmaxf((STRIDE * row - SIDE / 2) / (2.0f * STRIDE), 0.0f), rows - 1.0f);
    float x = fminf(fmaxf((STRIDE * column - SIDE / 2) / (2.0f * STRIDE), 0.0f), columns - 1.0f);
    int r = min((int)y, max(rows - 2, 0)), c = min((int)x, max(columns - 2, 0));
    int below = min(r + 1, rows - 1), beside = min(c + 1, columns - 1);
    float down = y - r, right = x - c;
    float upper = (1.0f - right) * coarse[r * columns + c] + right * coarse[r * columns + beside];
    float lower = (1.0f - right) * coarse[below * columns + c] + right * coarse[below * columns + beside];
    return 2.0f * ((1.0f - down) * upper + down * lower);
}

// Aligns a patch of the earlier level with the later one, one block of 8 x 8 threads per patch and pair.
// level: (2N, height, width); coarse: (N, 2, coarse_rows, coarse_columns), none where coarse_rows is 0; flow:
// (N, 2, rows, columns), times `gain`; residual: (N, rows, columns). The grid is (columns, rows, N).
extern "C" __global__ void __launch_bounds__(PIXELS)
    align_patches(const float* level, const float* coarse, float* flow, float* residual, int height, int width,
                  int coarse_rows, int coarse_columns, float gain) {
    __shared__ float4 partial[PIXELS];
    __shared__ float around[SIDE + 2][SIDE + 2];  // the patch and the pixels around it
    int thread = threadIdx.y * SIDE + threadIdx.x, rows = gridDim.y, columns = gridDim.x, pair = blockIdx.z;
    size_t plane = (size_t)height * width;
    const float *before = level + plane * pair, *after = level + plane * (gridDim.z + pair);
    for (int i = thread; i < (SIDE + 2) * (SIDE + 2); i += PIXELS) {
        int row = clamped(STRIDE * blockIdx.y + i / (SIDE + 2) - 1, height);
        int column = clamped(STRIDE * blockIdx.x + i % (SIDE + 2) - 1, width);
        around[i / (SIDE + 2)][i % (SIDE + 2)] = before[(size_t)row * width + column];
    }
    __syncthreads();
    int i = threadIdx.y + 1, j = threadIdx.x + 1;
    float dx = 2.0f * (around[i][j + 1] - around[i][j - 1]) + around[i - 1][j + 1] - around[i - 1][j - 1];
    float dy = 2.0f * (around[i + 1][j] - around[i - 1][j]) + around[i + 1][j - 1] - around[i - 1][j - 1];
    dx = (dx + around[i + 1][j + 1] - around[i + 1][j - 1]) * 0.125f;
    dy = (dy + around[i + 1][j + 1] - around[i - 1][j + 1]) * 0.125f;
    float4 mean = block_sums(make_float4(dx, dy, 0.0f, 0.0f), partial, thread);
    dx -= mean.x / PIXELS;
    dy -= mean.y / PIXELS;
    float4 products = block_sums(make_float4(dx * dx, dx * dy, dy * dy, 0.0f), partial, thread);
    float xx = products.x + DAMPING, xy = products.y, yy = products.z + DAMPING;
    float inverse = 1.0f / (xx * yy - xy * xy);
    float start_u = 0.0f, start_v = 0.0f;
    if (coarse_rows) {
        const float* field = coarse + 2 * (size_t)coarse_rows * coarse_columns * pair;
        start_u = doubled(field, blockIdx.y, blockIdx.x, coarse_rows, coarse_columns);
        start_v = doubled(field + coarse_rows * coarse_columns, blockIdx.y, blockIdx.x, coarse_rows, coarse_columns);
    }
    float u = start_u, v = start_v, spread = 0.0f;
    float rightmost = width + 2 * MARGIN - SIDE - 2, lowest = height + 2 * MARGIN - SIDE - 2;
    for (int step = 0; step < STEPS; step++) {
        float x = fminf(fmaxf(STRIDE * (int)blockIdx.x + MARGIN + u, 0.0f), rightmost);
        float y = fminf(fmaxf(STRIDE * (int)blockIdx.y + MARGIN + v, 0.0f), lowest);
        int c = (int)x, r = (int)y;
        float right = x - c, down = y - r;
        const float* upper = after + (size_t)clamped(r + (int)threadIdx.y - MARGIN, height) * width;
        const float* lower = after + (size_t)clamped(r + (int)threadIdx.y + 1 - MARGIN, height) * width;
        int left = clamped(c + (int)threadIdx.x - MARGIN, width);
        int next = clamped(c + (int)threadIdx.x + 1 - MARGIN, width);
        float now = (1.0f - right) * (1.0f - down) * upper[left] + right * (1.0f - down) * upper[next] +
                    (1.0f - right) * down * lower[left] + right * down * lower[next];
        float error = now - around[i][j];
        float4 sums = block_sums(make_float4(error * dx, error * dy, error, error * error), partial, thread);
        float offset = sums.z / PIXELS;
        spread = sums.w / PIXELS - offset * offset;
        float step_u = (yy * sums.x - xy * sums.y) * inverse, step_v = (xx * sums.y - xy * sums.x) * inverse;
        u -= step_u;
        v -= step_v;
        if (step_u * step_u + step_v * step_v < NEAR_PX2) break;
    }
    if ((u - start_u) * (u - start_u) + (v - start_v) * (v - start_v) > SIDE * SIDE / 4) {  // diverged
        u = start_u;
        v = start_v;
    }
    if (thread) return;
    size_t patch = (size_t)blockIdx.y * columns + blockIdx.x, patches = (size_t)rows * columns;
    flow[2 * patches * pair + patch] = gain * u;
    flow[2 * patches * pair + patches + patch] = gain * v;
    residual[patches * pair + patch] = sqrtf(fmaxf(spread, 0.0f));
}
