// From the dense flow of full crops to the trunk's input: removes the motion of the head, averages the inner square to
// 32 x 32 and splits pattern and magnitude. Computes engine/flow.py (remove_global_motion) and engine/preprocess.py
// (downsample, split_pattern_and_magnitude) in float32, for a batch of pairs.

#define TILE_X 32
#define TILE_Y 8
#define THREADS (TILE_X * TILE_Y)
#define MAX_CELLS 1536
#define GRID 32
#define AXIS (GRID * GRID)  // values of one axis of a pattern

__device__ static int reflected(int i, int size) {
    i = i < 0 ? -i : i;
    return i >= size ? 2 * size - 2 - i : i;
}

// The squared length of the Sobel gradient.
__device__ static float squared_gradient(const unsigned char* image, int row, int column, int height, int width) {
    const unsigned char* here = image + (size_t)row * width;
    const unsigned char* above = image + (size_t)reflected(row - 1, height) * width;
    const unsigned char* below = image + (size_t)reflected(row + 1, height) * width;
    int left = reflected(column - 1, width), right = reflected(column + 1, width);
    int dx = above[right] - above[left] + 2 * (here[right] - here[left]) + below[right] - below[left];
    int dy = below[left] - above[left] + 2 * (below[column] - above[column]) + below[right] - above[right];
    return (float)(dx * dx + dy * dy);
}

// Trust in the flow at a pixel, 0 to 1: engine.flow.texture.
__device__ static float texture(const unsigned char* image, int row, int column, int height, int width) {
    float sum = 0.0f;
    for (int r = row - 2; r <= row + 2; r++)
#pragma unroll 1  // unrolled it takes three times the registers
        for (int c = column - 2; c <= column + 2; c++)
            sum += squared_gradient(image, reflected(r, height), reflected(c, width), height, width);
    float g2 = sum / (25.0f * 16.0f);
    return g2 / (g2 + 30.0f);
}

// The sum of `value` over the block, returned to all its threads.
__device__ static float block_sum(float value, float* partial, int thread) {
    partial[thread] = value;
    __syncthreads();
    for (int half = THREADS / 2; half; half /= 2) {
        if (thread < half) partial[thread] += partial[thread + half];
        __syncthreads();
    }
    float total = partial[0];
    __syncthreads();
    return total;
}

// The median of `values`, returned to all threads: each counts how many values are below its own.
__device__ static float block_median(const float* values, int count, float* middle, int thread) {
    for (int i = thread; i < count; i += THREADS) {
        int below = 0;
        for (int j = 0; j < count; j++) below += values[j] < values[i] || (values[j] == values[i] && j < i);
        if (below == (count - 1) / 2) middle[0] = values[i];
        if (below == count / 2) middle[1] = values[i];
    }
    __syncthreads();
    float median = 0.5f * (middle[0] + middle[1]);
    __syncthreads();
    return median;
}

// Solves the normal equations (4, 6), whose last two columns are the right-hand sides of u and v and become the
// coefficients. The matrix is symmetric and positive definite, so that no pivoting is needed.
__device__ static void solve(float (*system)[6]) {
    for (int p = 0; p < 4; p++) system[p][p] += 1e-6f;
    for (int p = 0; p < 4; p++)
        for (int r = p + 1; r < 4; r++) {
            float factor = system[r][p] / system[p][p];
            for (int c = p; c < 6; c++) system[r][c] -= factor * system[p][c];
        }
    for (int p = 3; p >= 0; p--)
        for (int c = 4; c < 6; c++) {
            for (int r = p + 1; r < 4; r++) system[p][c] -= system[p][r] * system[r][c];
            system[p][c] /= system[p][p];
        }
}

// Fits the motion of the head: each axis of the flow by `basis` at `cells`, in five iterations with Cauchy weights.
// onset: (N, H, W); flow: (N, 2, H, W); basis: (4, H, W); cells: (count, 2) rows and columns; fit: (N, 2, 4). One block
// per pair.
extern "C" __global__ void __launch_bounds__(THREADS)
    fit_head_motion(const unsigned char* onset, const float* flow, const float* basis, const int* cells, float* fit,
                    int count, int height, int width) {
    __shared__ float trust[MAX_CELLS], weight[MAX_CELLS], residual[MAX_CELLS], u[MAX_CELLS], v[MAX_CELLS];
    __shared__ float partial[THREADS], middle[2], system[4][6];
    int thread = threadIdx.y * TILE_X + threadIdx.x;
    size_t plane = (size_t)height * width;
    onset += plane * blockIdx.z;
    flow += 2 * plane * blockIdx.z;
    for (int i = thread; i < count; i += THREADS) {
        int row = cells[2 * i], column = cells[2 * i + 1];
        trust[i] = texture(onset, row, column, height, width);
        weight[i] = trust[i] + 1e-9f;
        u[i] = flow[row * width + column];
        v[i] = flow[plane + row * width + column];
    }
    for (int round = 0; round < 5; round++) {
        for (int a = 0; a < 4; a++)
            for (int b = a; b < 6; b++) {
                float sum = 0.0f;
                for (int i = thread; i < count; i += THREADS) {
                    int at = cells[2 * i] * width + cells[2 * i + 1];
                    float other = b < 4 ? basis[b * plane + at] : b == 4 ? u[i] : v[i];
                    sum += weight[i] * basis[a * plane + at] * other;
                }
                sum = block_sum(sum, partial, thread);
                if (thread == 0) system[a][b] = sum;
                if (thread == 0 && b < 4) system[b][a] = sum;
            }
        if (thread == 0) solve(system);
        __syncthreads();
        for (int i = thread; i < count; i += THREADS) {
            int at = cells[2 * i] * width + cells[2 * i + 1];
            float left_u = u[i], left_v = v[i];
            for (int a = 0; a < 4; a++) {
                left_u -= system[a][4] * basis[a * plane + at];
                left_v -= system[a][5] * basis[a * plane + at];
            }
            residual[i] = sqrtf(left_u * left_u + left_v * left_v);
        }
        __syncthreads();
        float scale = fmaxf(0.02f, 2.0f * block_median(residual, count, middle, thread));
        for (int i = thread; i < count; i += THREADS) {
            float share = residual[i] / scale;
            weight[i] = trust[i] / (1.0f + share * share) + 1e-9f;
        }
    }
    if (thread < 8) fit[8 * blockIdx.z + thread] = system[thread % 4][4 + thread / 4];
}

// Subtracts the motion of the head from the flow of the inner square. flow: (N, 2, H, W); fit: (N, 2, 4);
// basis: (4, H, W); out: (N, 2, size, size). Two values of blockIdx.z per pair.
extern "C" __global__ void __launch_bounds__(THREADS)
    remove_head_motion(const float* flow, const float* fit, const float* basis, float* out, int height, int width,
                       int top, int left, int size) {
    int x = blockIdx.x * TILE_X + threadIdx.x, y = blockIdx.y * TILE_Y + threadIdx.y;
    if (x >= size || y >= size) return;
    size_t plane = (size_t)height * width, at = (size_t)(top + y) * width + left + x;
    float value = flow[plane * blockIdx.z + at];
    for (int a = 0; a < 4; a++) value -= fit[4 * blockIdx.z + a] * basis[a * plane + at];
    out[((size_t)blockIdx.z * size + y) * size + x] = value;
}

// Averages 32 x 32 blocks, and normalizes each axis by its own median and spread; the spread of both together, as log2
// px, is the magnitude.
// facial: (N, 2, size, size); pattern: (N, 2, 32, 32); magnitude: (N, 1). One block per pair.
extern "C" __global__ void __launch_bounds__(THREADS)
    split_pattern_and_magnitude(const float* facial, float* pattern, float* magnitude, int size, float floor_px) {
    __shared__ float value[2 * AXIS], partial[THREADS], middle[2];
    int thread = threadIdx.y * TILE_X + threadIdx.x, step = size / GRID;
    facial += 2 * (size_t)size * size * blockIdx.z;
    for (int i = thread; i < 2 * AXIS; i += THREADS) {
        const float* block = facial + ((size_t)(i / GRID) * size + i % GRID) * step;  // v's rows lie below u's
        float sum = 0.0f;
        for (int r = 0; r < step; r++)
            for (int c = 0; c < step; c++) sum += block[r * size + c];
        value[i] = sum / (step * step);
    }
    __syncthreads();
    float median_u = block_median(value, AXIS, middle, thread);
    float median_v = block_median(value + AXIS, AXIS, middle, thread);
    float mean[2], spread[2];
    for (int axis = 0; axis < 2; axis++) {
        float *own = value + axis * AXIS, median = axis ? median_v : median_u, sum = 0.0f, squares = 0.0f;
        for (int i = thread; i < AXIS; i += THREADS) {
            own[i] -= median;
            sum += own[i];
        }
        mean[axis] = block_sum(sum, partial, thread) / AXIS;
        for (int i = thread; i < AXIS; i += THREADS) squares += (own[i] - mean[axis]) * (own[i] - mean[axis]);
        spread[axis] = sqrtf(block_sum(squares, partial, thread) / AXIS);
    }
    float* seen = pattern + 2 * AXIS * (size_t)blockIdx.z;
    for (int i = thread; i < 2 * AXIS; i += THREADS)
        seen[i] = fminf(fmaxf(value[i] / fmaxf(spread[i / AXIS], floor_px), -6.0f), 6.0f);
    float apart = 0.5f * (mean[0] - mean[1]);
    float variance = 0.5f * (spread[0] * spread[0] + spread[1] * spread[1]) + apart * apart;
    if (thread == 0) magnitude[blockIdx.z] = log2f(fmaxf(sqrtf(variance), floor_px));
}
