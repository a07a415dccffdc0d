// Dense optical flow: Farneback 2003, "Two-frame motion estimation based on polynomial expansion", as OpenCV's
// calcOpticalFlowFarneback computes it, in float32, for a batch of pairs at once (blockIdx.z).
//
// Fields are planar, so that neighbouring threads read neighbouring words: images (2N, H, W), first all onsets and
// then all apexes; coefficients (2N, 5, H, W); matrices (N, 5, H, W); flow (N, 2, H, W). Every kernel runs one thread
// per output pixel in blocks of TILE_X x TILE_Y.

#define TILE_X 32
#define TILE_Y 8
#define THREADS (TILE_X * TILE_Y)
#define POLY_REACH 7     // largest radius of the polynomial expansion
#define WINDOW_REACH 15  // largest radius of the averaging window
#define SHRINK_REACH 9   // largest radius of the blur before an image is shrunk
#define MAX_STEP 9       // most source pixels per output pixel where an image is shrunk
#define SPAN(outputs) (MAX_STEP * ((outputs) - 1) + 3 + 2 * SHRINK_REACH)  // their source pixels

struct Taps {  // half of a symmetric filter, w[0] at its centre
    float w[16];
};

struct Inverse {  // entries of the inverse of the Gram matrix of 1, x, y, x^2, y^2, xy under the Gaussian weights
    float i11, i03, i33, i55;
};

__device__ static int clamped(int i, int size) { return min(max(i, 0), size - 1); }

// abc|dcba..., without the outermost pixel twice: OpenCV's BORDER_REFLECT_101. One reflection is enough where the
// filter is shorter than the image.
__device__ static int reflected(int i, int size) {
    i = i < 0 ? -i : i;
    return clamped(i >= size ? 2 * size - 2 - i : i, size);
}

// Position of output pixel i of a resized line: between source pixels `first` and `first` + 1, `share` of the way.
__device__ static void source_of(int i, float step, int size, int* first, float* share) {
    float at = fmaxf((i + 0.5f) * step - 0.5f, 0.0f);
    *first = min((int)at, size - 1);
    *share = *first < size - 1 ? at - *first : 0.0f;
}

// The source pixels of a tile's outputs from `i` on: *begin is the first, which may be outside. Returns their
// number, at most SPAN(outputs).
__device__ static int span_of(int i, int outputs, int out_size, float step, int size, int reach, int* begin) {
    int first, last;
    float share;
    source_of(i, step, size, &first, &share);
    source_of(min(i + outputs, out_size) - 1, step, size, &last, &share);
    *begin = first - reach;
    return last - first + 2 + 2 * reach;
}

// Filters a tile at one place along its rows, or along its columns.
template <class T, int ROWS, int COLUMNS>
__device__ static float across(const T (&tile)[ROWS][COLUMNS], int r, int c, const Taps& taps, int reach) {
    float sum = taps.w[0] * tile[r][c];
    for (int k = 1; k <= reach; k++) sum += taps.w[k] * (tile[r][c - k] + tile[r][c + k]);
    return sum;
}

template <int ROWS, int COLUMNS>
__device__ static float down(const float (&tile)[ROWS][COLUMNS], int r, int c, const Taps& taps, int reach) {
    float sum = taps.w[0] * tile[r][c];
    for (int k = 1; k <= reach; k++) sum += taps.w[k] * (tile[r - k][c] + tile[r + k][c]);
    return sum;
}

// a * b - c * d without the loss of digits where both products are nearly equal (Kahan).
__device__ static float difference_of_products(float a, float b, float c, float d) {
    float cd = c * d;
    return fmaf(a, b, -cd) + fmaf(-c, d, cd);
}

// Blurs the lines of an image by `taps` and resamples them bilinearly to `out_width`; then the same for the columns.
// out: (2N, height, out_width).
extern "C" __global__ void __launch_bounds__(THREADS)
    shrink_rows(const unsigned char* image, float* out, int height, int width, int out_width, float step,
                const __grid_constant__ Taps taps, int reach) {
    __shared__ unsigned char tile[TILE_Y][SPAN(TILE_X)];  // bytes: threads far apart in it share no bank
    int x = blockIdx.x * TILE_X + threadIdx.x, y = blockIdx.y * TILE_Y + threadIdx.y, left;
    int columns = span_of(blockIdx.x * TILE_X, TILE_X, out_width, step, width, reach, &left);
    const unsigned char* line = image + ((size_t)blockIdx.z * height + min(y, height - 1)) * width;
    for (int c = threadIdx.x; c < columns; c += TILE_X) tile[threadIdx.y][c] = line[reflected(left + c, width)];
    __syncthreads();
    if (x >= out_width || y >= height) return;
    int first;
    float share;
    source_of(x, step, width, &first, &share);
    int second = min(first + 1, width - 1);
    float before = across(tile, threadIdx.y, first - left, taps, reach);
    float after = across(tile, threadIdx.y, second - left, taps, reach);
    out[((size_t)blockIdx.z * height + y) * out_width + x] = before + share * (after - before);
}

// lines: (2N, height, width); out: (2N, out_height, width).
extern "C" __global__ void __launch_bounds__(THREADS)
    shrink_columns(const float* lines, float* out, int height, int width, int out_height, float step,
                   const __grid_constant__ Taps taps, int reach) {
    __shared__ float tile[SPAN(TILE_Y)][TILE_X];
    int x = blockIdx.x * TILE_X + threadIdx.x, y = blockIdx.y * TILE_Y + threadIdx.y, top;
    int rows = span_of(blockIdx.y * TILE_Y, TILE_Y, out_height, step, height, reach, &top);
    const float* column = lines + (size_t)blockIdx.z * height * width + min(x, width - 1);
    for (int r = threadIdx.y; r < rows; r += TILE_Y) tile[r][threadIdx.x] = column[reflected(top + r, height) * width];
    __syncthreads();
    if (x >= width || y >= out_height) return;
    int first;
    float share;
    source_of(y, step, height, &first, &share);
    int second = min(first + 1, height - 1);
    float before = down(tile, first - top, threadIdx.x, taps, reach);
    float after = down(tile, second - top, threadIdx.x, taps, reach);
    out[((size_t)blockIdx.z * out_height + y) * width + x] = before + share * (after - before);
}

// Fits each neighbourhood by a polynomial c + b1 x + b2 y + a11 x^2 + a22 y^2 + a12 xy, with Gaussian weights
// (Farneback's equations 1 and 3). image: (2N, H, W); out: (2N, 5, H, W) = b2, b1, a22, a11, a12, in OpenCV's order.
// `inverse` holds the entries 11, 03, 33 and 55 of the inverse of the basis' Gram matrix.
extern "C" __global__ void __launch_bounds__(THREADS)
    expand(const float* image, float* out, int height, int width, const __grid_constant__ Taps gauss, Inverse inverse,
           int reach) {
    __shared__ float tile[TILE_Y + 2 * POLY_REACH][TILE_X + 2 * POLY_REACH];
    __shared__ float moment[3][TILE_Y][TILE_X + 2 * POLY_REACH];  // along y: sums of 1, y and y^2 times the image
    int left = blockIdx.x * TILE_X - reach, top = blockIdx.y * TILE_Y - reach;
    int columns = TILE_X + 2 * reach, rows = TILE_Y + 2 * reach;
    int thread = threadIdx.y * TILE_X + threadIdx.x;
    image += (size_t)blockIdx.z * height * width;
    for (int i = thread; i < rows * columns; i += THREADS) {
        int r = i / columns, c = i % columns;
        tile[r][c] = image[clamped(top + r, height) * width + clamped(left + c, width)];
    }
    __syncthreads();
    for (int i = thread; i < TILE_Y * columns; i += THREADS) {
        int r = i / columns, c = i % columns;
        float m0 = gauss.w[0] * tile[r + reach][c], m1 = 0.0f, m2 = 0.0f;
        for (int k = 1; k <= reach; k++) {
            float above = tile[r + reach - k][c], below = tile[r + reach + k][c];
            m0 += gauss.w[k] * (above + below);
            m1 += k * gauss.w[k] * (below - above);
            m2 += k * k * gauss.w[k] * (above + below);
        }
        moment[0][r][c] = m0;
        moment[1][r][c] = m1;
        moment[2][r][c] = m2;
    }
    __syncthreads();
    int x = blockIdx.x * TILE_X + threadIdx.x, y = blockIdx.y * TILE_Y + threadIdx.y;
    if (x >= width || y >= height) return;
    const float *m0 = moment[0][threadIdx.y], *m1 = moment[1][threadIdx.y], *m2 = moment[2][threadIdx.y];
    int c = threadIdx.x + reach;
    float b1 = gauss.w[0] * m0[c], b2 = 0.0f, b3 = gauss.w[0] * m1[c], b4 = 0.0f, b5 = gauss.w[0] * m2[c], b6 = 0.0f;
    for (int k = 1; k <= reach; k++) {
        float g = gauss.w[k], both = m0[c + k] + m0[c - k];
        b1 += g * both;
        b2 += k * g * (m0[c + k] - m0[c - k]);
        b3 += g * (m1[c + k] + m1[c - k]);
        b4 += k * k * g * both;
        b5 += g * (m2[c + k] + m2[c - k]);
        b6 += k * g * (m1[c + k] - m1[c - k]);
    }
    size_t plane = (size_t)height * width;
    out += 5 * plane * blockIdx.z + y * width + x;
    out[0] = b3 * inverse.i11;
    out[plane] = b2 * inverse.i11;
    out[2 * plane] = b1 * inverse.i03 + b5 * inverse.i33;
    out[3 * plane] = b1 * inverse.i03 + b4 * inverse.i33;
    out[4 * plane] = b6 * inverse.i55;
}

// Interpolates the flow of a coarser level at this one, bilinearly, times `gain`. coarse: (N, 2, h, w);
// flow: (N, 2, H, W); two values of blockIdx.z per pair.
extern "C" __global__ void __launch_bounds__(THREADS)
    refine(const float* coarse, float* flow, int coarse_height, int coarse_width, int height, int width, float step_y,
           float step_x, float gain) {
    int x = blockIdx.x * TILE_X + threadIdx.x, y = blockIdx.y * TILE_Y + threadIdx.y;
    if (x >= width || y >= height) return;
    int left, top;
    float share_x, share_y;
    source_of(x, step_x, coarse_width, &left, &share_x);
    source_of(y, step_y, coarse_height, &top, &share_y);
    const float* upper = coarse + ((size_t)blockIdx.z * coarse_height + top) * coarse_width;
    const float* lower = upper + (top < coarse_height - 1 ? coarse_width : 0);
    int right = min(left + 1, coarse_width - 1);
    float above = upper[left] + share_x * (upper[right] - upper[left]);
    float below = lower[left] + share_x * (lower[right] - lower[left]);
    flow[((size_t)blockIdx.z * height + y) * width + x] = gain * (above + share_y * (below - above));
}

// OpenCV trusts the five pixels at each edge less.
__device__ static float edge_weight(int from_edge) { return from_edge < 2 ? 0.14f : from_edge < 5 ? 0.4472f : 1.0f; }

// The normal equations of each pixel's displacement, given the flow so far (Farneback's equations 10 to 12).
// coefficients: (2N, 5, H, W); flow: (N, 2, H, W); out: (N, 5, H, W) = G11, G12, G22, h1, h2.
extern "C" __global__ void __launch_bounds__(THREADS)
    equate(const float* coefficients, const float* flow, float* out, int pairs, int height, int width) {
    int x = blockIdx.x * TILE_X + threadIdx.x, y = blockIdx.y * TILE_Y + threadIdx.y;
    if (x >= width || y >= height) return;
    size_t plane = (size_t)height * width, pair = blockIdx.z, at = (size_t)y * width + x;
    const float* onset = coefficients + 5 * plane * pair + at;
    const float* apex = coefficients + 5 * plane * (pairs + pair);
    float dx = flow[2 * plane * pair + at], dy = flow[2 * plane * pair + plane + at];
    float fx = floorf(x + dx), fy = floorf(y + dy);
    float r2 = 0.0f, r3 = 0.0f, r4 = onset[2 * plane], r5 = onset[3 * plane], r6 = 0.5f * onset[4 * plane];
    if (fx >= 0.0f && fx < width - 1 && fy >= 0.0f && fy < height - 1) {
        float ax = x + dx - fx, ay = y + dy - fy;
        float a00 = (1.0f - ax) * (1.0f - ay), a01 = ax * (1.0f - ay), a10 = (1.0f - ax) * ay, a11 = ax * ay;
        float there[5];
        const float* corner = apex + (size_t)fy * width + (size_t)fx;
        for (int k = 0; k < 5; k++, corner += plane)
            there[k] = a00 * corner[0] + a01 * corner[1] + a10 * corner[width] + a11 * corner[width + 1];
        r2 = there[0];
        r3 = there[1];
        r4 = 0.5f * (r4 + there[2]);
        r5 = 0.5f * (r5 + there[3]);
        r6 = 0.25f * (onset[4 * plane] + there[4]);
    }
    r2 = 0.5f * (onset[0] - r2) + r4 * dy + r6 * dx;
    r3 = 0.5f * (onset[plane] - r3) + r6 * dy + r5 * dx;
    float weight = edge_weight(x) * edge_weight(width - 1 - x) * edge_weight(y) * edge_weight(height - 1 - y);
    r2 *= weight;
    r3 *= weight;
    r4 *= weight;
    r5 *= weight;
    r6 *= weight;
    out += 5 * plane * pair + at;
    out[0] = r4 * r4 + r6 * r6;
    out[plane] = (r4 + r5) * r6;
    out[2 * plane] = r5 * r5 + r6 * r6;
    out[3 * plane] = r4 * r2 + r6 * r3;
    out[4 * plane] = r6 * r2 + r5 * r3;
}

// Averages the equations over the window and solves them. matrices: (N, 5, H, W); flow: (N, 2, H, W).
extern "C" __global__ void __launch_bounds__(THREADS)
    solve(const float* matrices, float* flow, int height, int width, const __grid_constant__ Taps window, int reach) {
    __shared__ float tile[TILE_Y + 2 * WINDOW_REACH][TILE_X + 2 * WINDOW_REACH];
    __shared__ float column[TILE_Y][TILE_X + 2 * WINDOW_REACH];
    int left = blockIdx.x * TILE_X - reach, top = blockIdx.y * TILE_Y - reach;
    int columns = TILE_X + 2 * reach, rows = TILE_Y + 2 * reach;
    int thread = threadIdx.y * TILE_X + threadIdx.x;
    size_t plane = (size_t)height * width;
    float mean[5];
#pragma unroll  // otherwise `mean` is kept in memory
    for (int k = 0; k < 5; k++) {
        const float* field = matrices + (5 * (size_t)blockIdx.z + k) * plane;
        for (int i = thread; i < rows * columns; i += THREADS) {
            int r = i / columns, c = i % columns;
            tile[r][c] = field[clamped(top + r, height) * width + clamped(left + c, width)];
        }
        __syncthreads();
        for (int i = thread; i < TILE_Y * columns; i += THREADS) {
            int r = i / columns, c = i % columns;
            column[r][c] = down(tile, r + reach, c, window, reach);
        }
        __syncthreads();
        mean[k] = across(column, threadIdx.y, threadIdx.x + reach, window, reach);
    }
    int x = blockIdx.x * TILE_X + threadIdx.x, y = blockIdx.y * TILE_Y + threadIdx.y;
    if (x >= width || y >= height) return;
    float determinant = difference_of_products(mean[0], mean[2], mean[1], mean[1]) + 1e-3f;
    flow += 2 * plane * blockIdx.z + (size_t)y * width + x;
    flow[0] = difference_of_products(mean[0], mean[4], mean[1], mean[3]) / determinant;
    flow[plane] = difference_of_products(mean[2], mean[3], mean[1], mean[4]) / determinant;
}
