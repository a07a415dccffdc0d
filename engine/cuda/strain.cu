// Optical strain magnitude of a flow field: the Frobenius norm of its symmetric gradient, per pixel.

// A derivative along one line of a field: central differences, one-sided at the ends.
__device__ static float slope(const float* at, int i, int size, int stride) {
    int before = i > 0, after = i < size - 1;
    return (at[after * stride] - at[-before * stride]) / max(before + after, 1);
}

// flow: (N, 2, H, W); out: (N, H, W). One thread per pixel, one pair per blockIdx.z.
extern "C" __global__ void strain(const float* flow, float* out, int height, int width) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    size_t plane = (size_t)height * width, at = (size_t)y * width + x;
    const float *u = flow + 2 * plane * blockIdx.z + at, *v = u + plane;
    float stretch_x = slope(u, x, width, 1), stretch_y = slope(v, y, height, width);
    float shear = slope(u, y, height, width) + slope(v, x, width, 1);
    out[plane * blockIdx.z + at] = sqrtf(stretch_x * stretch_x + stretch_y * stretch_y + 0.5f * shear * shear);
}
