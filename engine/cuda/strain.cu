// Optical strain magnitude of a flow field: the Frobenius norm of its symmetric gradient, per pixel.

#define TILE_X 32
#define TILE_Y 8
#define THREADS (TILE_X * TILE_Y)

__device__ static int clamped(int i, int size) { return min(max(i, 0), size - 1); }

// flow: (N, 2, H, W); out: (N, H, W). One thread per pixel, one pair per blockIdx.z.
extern "C" __global__ void __launch_bounds__(THREADS) strain(const float* flow, float* out, int height, int width) {
    __shared__ float u[TILE_Y + 2][TILE_X + 2], v[TILE_Y + 2][TILE_X + 2];
    int x = blockIdx.x * TILE_X + threadIdx.x, y = blockIdx.y * TILE_Y + threadIdx.y;
    size_t plane = (size_t)height * width;
    flow += 2 * plane * blockIdx.z;
    for (int i = threadIdx.y * TILE_X + threadIdx.x; i < (TILE_Y + 2) * (TILE_X + 2); i += THREADS) {
        int r = i / (TILE_X + 2), c = i % (TILE_X + 2);
        int row = clamped(blockIdx.y * TILE_Y + r - 1, height), column = clamped(blockIdx.x * TILE_X + c - 1, width);
        u[r][c] = flow[row * width + column];
        v[r][c] = flow[plane + row * width + column];
    }
    __syncthreads();
    if (x >= width || y >= height) return;
    int r = threadIdx.y + 1, c = threadIdx.x + 1;
    int across = max((x > 0) + (x < width - 1), 1), down = max((y > 0) + (y < height - 1), 1);  // one-sided at the ends
    float stretch_x = (u[r][c + 1] - u[r][c - 1]) / across, stretch_y = (v[r + 1][c] - v[r - 1][c]) / down;
    float shear = (u[r + 1][c] - u[r - 1][c]) / down + (v[r][c + 1] - v[r][c - 1]) / across;
    out[plane * blockIdx.z + (size_t)y * width + x] =
        sqrtf(stretch_x * stretch_x + stretch_y * stretch_y + 0.5f * shear * shear);
}
