"""Optical flow of a grid of small patches, which the spotter computes on every frame.

Each patch, less its mean grey, is aligned by inverse compositional Lucas-Kanade (Baker and Matthews 2004), first at a
quarter of the image's size and then at half of it. This is the patch search of DIS (Kroeger et al. 2016) without its
dense field, which would only be averaged again. The pyramid of an image is built once for all pairs it is part of.
"""

from typing import NamedTuple

import numba
import numpy as np

SIDE, STRIDE = 8, 4  # of a patch, in px of its level
FULL = 2  # px of the image per px of the finer level
MARGIN = 8  # px around a level that repeat its border
STEPS = 6
NEAR_PX2 = np.float32(1e-3)  # squared length of a step below which the search ends
DAMPING = np.float32(200)  # squared grey levels: keeps patches without texture at the coarser level's result


class Level(NamedTuple):
    """One level of an image pyramid.

    Attributes:
        grey: (H + 16, W + 16) float32.
        slopes: (rows, columns, 2, 8, 8) float32, d/dx and d/dy of each patch less their means.
        products: (rows, columns, 3) float32, sums of the slopes' products xx, xy and yy.
    """

    grey: np.ndarray
    slopes: np.ndarray
    products: np.ndarray


class PatchPyramid(NamedTuple):
    """An image at half and at a quarter of its size, prepared for `patch_flow`."""

    half: Level
    quarter: Level


def build_pyramid(grey: np.ndarray) -> PatchPyramid:
    """Prepare an image (H, W) uint8 of at least 32 px a side for `patch_flow`."""
    return _build_pyramid(grey)


def patch_flow(before: PatchPyramid, after: PatchPyramid) -> tuple[np.ndarray, np.ndarray]:
    """Compute how far each patch moved.

    Returns:
        Flow (2, rows, columns) float32 px of the image, and residual (rows, columns) float32: the standard deviation of
        the grey levels' difference after alignment.
    """
    return _pyramid_flow(before, after)


def patch_texture(pyramid: PatchPyramid) -> np.ndarray:
    """Compute how far the flow of each patch can be trusted, (rows, columns) in 0..1, as engine.flow.texture."""
    g2 = (pyramid.half.products[..., 0] + pyramid.half.products[..., 2]) / SIDE**2
    return g2 / (g2 + 30)


def patch_means(field: np.ndarray) -> np.ndarray:
    """Average a field (C, H, W) over the patches of an image (H, W): (C, rows, columns)."""
    windows = np.lib.stride_tricks.sliding_window_view(field, (FULL * SIDE, FULL * SIDE), axis=(1, 2))
    return windows[:, :: FULL * STRIDE, :: FULL * STRIDE].mean(axis=(-2, -1))


@numba.njit(cache=True, nogil=True)
def _build_pyramid(grey):  # type: ignore[no-untyped-def]
    half = _halved(grey)
    return PatchPyramid(_build_level(half), _build_level(_halved(half)))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _halved(image):  # type: ignore[no-untyped-def]
    height, width = image.shape
    half = np.empty((height // 2, width // 2), np.float32)
    for r in range(height // 2):
        for c in range(width // 2):
            upper = np.float32(image[2 * r, 2 * c]) + np.float32(image[2 * r, 2 * c + 1])
            lower = np.float32(image[2 * r + 1, 2 * c]) + np.float32(image[2 * r + 1, 2 * c + 1])
            half[r, c] = (upper + lower) / np.float32(4)
    return half


@numba.njit(cache=True, nogil=True, fastmath=True)
def _build_level(image):  # type: ignore[no-untyped-def]
    height, width = image.shape
    grey = np.empty((height + 2 * MARGIN, width + 2 * MARGIN), np.float32)
    for r in range(height + 2 * MARGIN):
        row = image[min(max(r - MARGIN, 0), height - 1)]
        grey[r, :MARGIN], grey[r, MARGIN:-MARGIN], grey[r, -MARGIN:] = row[0], row, row[-1]
    dx, dy = np.empty_like(image), np.empty_like(image)  # Sobel
    for r in range(height):
        up, here, down = grey[r + MARGIN - 1], grey[r + MARGIN], grey[r + MARGIN + 1]
        for c in range(width):
            w, x, e = c + MARGIN - 1, c + MARGIN, c + MARGIN + 1
            dx[r, c] = (2 * (here[e] - here[w]) + up[e] - up[w] + down[e] - down[w]) * np.float32(0.125)
            dy[r, c] = (2 * (down[x] - up[x]) + down[w] - up[w] + down[e] - up[e]) * np.float32(0.125)
    rows, columns = (height - SIDE) // STRIDE + 1, (width - SIDE) // STRIDE + 1
    slopes = np.empty((rows, columns, 2, SIDE, SIDE), np.float32)
    products = np.empty((rows, columns, 3), np.float32)
    for i in range(rows):
        for j in range(columns):
            r, c = STRIDE * i, STRIDE * j
            x, y = dx[r : r + SIDE, c : c + SIDE], dy[r : r + SIDE, c : c + SIDE]
            x_mean = y_mean = np.float32(0)
            for a in range(SIDE):
                for b in range(SIDE):
                    x_mean += x[a, b]
                    y_mean += y[a, b]
            x_mean, y_mean = x_mean / np.float32(SIDE**2), y_mean / np.float32(SIDE**2)
            xx = xy = yy = np.float32(0)
            for a in range(SIDE):
                for b in range(SIDE):
                    p, q = x[a, b] - x_mean, y[a, b] - y_mean
                    slopes[i, j, 0, a, b], slopes[i, j, 1, a, b] = p, q
                    xx, xy, yy = xx + p * p, xy + p * q, yy + q * q
            products[i, j, 0], products[i, j, 1], products[i, j, 2] = xx, xy, yy
    return Level(grey, slopes, products)


@numba.njit(cache=True, nogil=True)
def _pyramid_flow(before, after):  # type: ignore[no-untyped-def]
    rows, columns, _ = before.quarter.products.shape
    coarse, _ = _align_patches(before.quarter, after.quarter, np.zeros((2, rows, columns), np.float32))
    rows, columns, _ = before.half.products.shape
    fine, residual = _align_patches(before.half, after.half, _doubled(coarse, rows, columns))
    return FULL * fine, residual


@numba.njit(cache=True, nogil=True, fastmath=True)
def _doubled(coarse, rows, columns):  # type: ignore[no-untyped-def]
    """Interpolate the flow of a level linearly at the patches of the next finer one."""
    fine = np.empty((2, rows, columns), np.float32)
    _, height, width = coarse.shape
    for i in range(rows):
        y = min(max((STRIDE * i - SIDE / 2) / 2 / STRIDE, 0), height - 1)
        r = min(int(y), max(height - 2, 0))
        down, below = np.float32(y - r), min(r + 1, height - 1)
        for j in range(columns):
            x = min(max((STRIDE * j - SIDE / 2) / 2 / STRIDE, 0), width - 1)
            c = min(int(x), max(width - 2, 0))
            right, beside = np.float32(x - c), min(c + 1, width - 1)
            for a in range(2):
                upper = (1 - right) * coarse[a, r, c] + right * coarse[a, r, beside]
                lower = (1 - right) * coarse[a, below, c] + right * coarse[a, below, beside]
                fine[a, i, j] = 2 * ((1 - down) * upper + down * lower)
    return fine


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _align_patches(before, after, start):  # type: ignore[no-untyped-def]
    """Align the patches of `before` with `after`, from `start` (2, rows, columns) on: flow and residual."""
    flow, residual = start.copy(), np.empty(start.shape[1:], np.float32)
    height, width = after.grey.shape
    lowest, rightmost = np.float32(height - SIDE - 2), np.float32(width - SIDE - 2)
    count = np.float32(SIDE**2)
    for i in range(start.shape[1]):
        for j in range(start.shape[2]):
            top, left = STRIDE * i + MARGIN, STRIDE * j + MARGIN
            patch = before.grey[top : top + SIDE, left : left + SIDE]
            dx, dy = before.slopes[i, j, 0], before.slopes[i, j, 1]
            xx, xy, yy = before.products[i, j]
            xx, yy = xx + DAMPING, yy + DAMPING
            inverse = np.float32(1) / (xx * yy - xy * xy)
            u, v = start[0, i, j], start[1, i, j]
            spread = np.float32(0)
            for _ in range(STEPS):
                x = min(max(np.float32(left) + u, np.float32(0)), rightmost)
                y = min(max(np.float32(top) + v, np.float32(0)), lowest)
                c, r = int(x), int(y)
                right, down = x - np.float32(c), y - np.float32(r)
                a, b = (1 - right) * (1 - down), right * (1 - down)
                d, e = (1 - right) * down, right * down
                seen = after.grey[r : r + SIDE + 1, c : c + SIDE + 1]
                along_x = along_y = total = squares = np.float32(0)
                for m in range(SIDE):
                    for n in range(SIDE):
                        now = a * seen[m, n] + b * seen[m, n + 1] + d * seen[m + 1, n] + e * seen[m + 1, n + 1]
                        error = now - patch[m, n]
                        along_x += error * dx[m, n]
                        along_y += error * dy[m, n]
                        total += error
                        squares += error * error
                spread = squares / count - (total / count) ** 2
                step_u = (yy * along_x - xy * along_y) * inverse
                step_v = (xx * along_y - xy * along_x) * inverse
                u, v = u - step_u, v - step_v
                if step_u * step_u + step_v * step_v < NEAR_PX2:
                    break
            if (u - start[0, i, j]) ** 2 + (v - start[1, i, j]) ** 2 > (SIDE / 2) ** 2:  # diverged
                u, v = start[0, i, j], start[1, i, j]
            flow[0, i, j], flow[1, i, j] = u, v
            residual[i, j] = np.sqrt(max(spread, np.float32(0)))
    return flow, residual
