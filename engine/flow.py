"""Dense optical flow between two crops, removal of head motion, and optical strain.

Flow is (2, H, W) float32 in pixels from onset to apex: `flow[0]` is u (positive to the right), `flow[1]` is v
(positive downwards).
"""

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numba
import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError

if TYPE_CHECKING:
    from merau.engine.cuda.farneback import Farneback

METHODS = ("dis", "farneback")
CELL_PX = 4  # grid on which the fit of the head motion samples the flow
DEPTH_FILE = Path(__file__).with_name("face_depth.npy")  # (45, 42) float32 over the full crop
DEPTH_CELL_PX = 4

_thread_local = threading.local()  # cv2.DISOpticalFlow keeps buffers, so that each thread needs its own


def flow(onset: np.ndarray, apex: np.ndarray, *, method: str = "dis") -> np.ndarray:
    """Compute the flow (2, H, W) float32 px from `onset` to `apex`, both (H, W) uint8.

    Args:
        onset: Grey image.
        apex: Grey image.
        method: "dis": Kroeger et al. 2016 with the medium preset, as "fast" halves small motions. "farneback":
            Farneback 2003 with the parameters of MERAU's authors. "cuda": the same on a GPU.

    Raises:
        UserError: The method is unknown.
        DeviceError: The method is "cuda" and no GPU can be used.
    """
    if method == "cuda":
        return _cuda(*onset.shape)(onset[None], apex[None])[0]
    if method == "farneback":
        uv = cv2.calcOpticalFlowFarneback(onset, apex, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    elif method == "dis":
        uv = _dis().calc(onset, apex, None)
    else:
        raise UserError(f"Flow method is {method!r}: choose one of {', '.join(METHODS)}, cuda.")
    return np.ascontiguousarray(uv.transpose(2, 0, 1))


def _cuda(height: int, width: int) -> "Farneback":
    from merau.engine.cuda.device import device
    from merau.engine.cuda.farneback import Farneback

    solvers, size = _thread_local.__dict__, f"cuda {height} x {width}"
    if size not in solvers:
        solvers[size] = Farneback(device(), 1, height, width)
    return solvers[size]


def _dis() -> cv2.DISOpticalFlow:
    if not hasattr(_thread_local, "dis"):
        _thread_local.dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return _thread_local.dis


def pair_flow(onset: np.ndarray, apex: np.ndarray, *, spec: CropSpec, method: str = "dis") -> np.ndarray:
    """Compute the flow (2, size_px, size_px) of two full crops (H, W) uint8, without head motion and border."""
    facial = remove_global_motion(flow(onset, apex, method=method), texture(onset), spec=spec)
    return np.ascontiguousarray(facial[:, *spec.inner])


def texture(grey: np.ndarray) -> np.ndarray:
    """Compute how far the flow can be trusted, (H, W) float32 in 0..1.

    The trust is g2 / (g2 + 30), where g2 is the smoothed squared gradient.
    """
    dx, dy = cv2.spatialGradient(grey)
    g2 = cv2.boxFilter(dx.astype(np.float32) ** 2 + dy.astype(np.float32) ** 2, -1, (5, 5)) / 16
    return g2 / (g2 + 30)


def remove_global_motion(field: np.ndarray, trust: np.ndarray, *, spec: CropSpec) -> np.ndarray:
    """Subtract the motion of the whole head from the flow of a full crop.

    Each axis is fitted by [1, x, y, z] over the face, where z is the depth of a generic face: translation, rotation,
    scale, shear, and to first order the parallax of a turn. Five iterations with Cauchy weights keep moving brows or
    lips from biasing the fit.

    Args:
        field: Flow (2, H, W).
        trust: Weight of each pixel, (H, W); see `texture`.
        spec: Layout of the crop.
    """
    fit = fit_global_motion(field, trust, spec=spec)
    return field - (fit.astype(np.float32) @ motion_basis(spec).reshape(4, -1)).reshape(field.shape)


def fit_global_motion(field: np.ndarray, trust: np.ndarray, *, spec: CropSpec) -> np.ndarray:
    """Fit coefficients (2, 4) float64 of `motion_basis` for u and v; their product is the motion of the head."""
    return fit_motion(field, trust, motion_basis(spec), face_cells(spec))


def fit_motion(field: np.ndarray, trust: np.ndarray, basis: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Fit the head motion on any grid.

    Args:
        field: Flow (2, R, C) float32.
        trust: Weights (R, C) float32.
        basis: (4, R, C) float32, as `motion_basis`.
        cells: Rows and columns (N, 2) int32 of the cells to use.

    Returns:
        Coefficients (2, 4) float64 for u and v.
    """
    return _fit(field, trust, basis, cells)


@lru_cache
def motion_basis(spec: CropSpec) -> np.ndarray:
    """Return [1, x, y, z] at each pixel of the full crop, (4, H, W) float32.

    x and y are measured from the centre of the inner square, in sides of it. z is the mean depth of many face meshes
    (scripts/make_face_depth.py), 1 at the nose.
    """
    height, width = spec.full
    rows, columns = np.mgrid[:height, :width]
    x = (columns - spec.side_px) / spec.size_px - 0.5
    y = (rows - spec.top_px) / spec.size_px - 0.5
    depth = cv2.resize(np.load(DEPTH_FILE), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.stack([np.ones_like(x), x, y, depth]).astype(np.float32)


def on_face(basis: np.ndarray) -> np.ndarray:
    """Return which cells (R, C) bool of a basis (4, R, C) are on the face."""
    _, x, y, _ = basis
    return (x / 0.6) ** 2 + ((y - 0.02) / 0.72) ** 2 <= 1


@lru_cache
def face_cells(spec: CropSpec) -> np.ndarray:
    """Return the pixels (N, 2) int32 of the face at which a dense flow is fitted."""
    first = slice(CELL_PX // 2, None, CELL_PX)
    return CELL_PX // 2 + CELL_PX * np.argwhere(on_face(motion_basis(spec))[first, first]).astype(np.int32)


@numba.njit(cache=True, nogil=True)
def _gather(field, trust, basis, cells):  # type: ignore[no-untyped-def]
    """Trust (N,) and 1, x, y, z, u, v (6, N) of the cells, so that loops over them are vectorized."""
    count = len(cells)
    trusted = np.empty(count)
    rows = np.empty((6, count))
    for i in range(count):
        r, c = cells[i]
        trusted[i] = trust[r, c]
        for a in range(4):
            rows[a, i] = basis[a, r, c]
        rows[4, i], rows[5, i] = field[0, r, c], field[1, r, c]
    return trusted, rows


@numba.njit(cache=True, nogil=True, fastmath=True)
def _fit(field, trust, basis, cells):  # type: ignore[no-untyped-def]
    count = len(cells)
    trusted, rows = _gather(field, trust, basis, cells)
    weight = trusted + 1e-9
    residual = np.empty(count)
    products = np.zeros((4, 6))  # normal matrix and, in the last two columns, right-hand sides
    for _ in range(5):
        for a in range(4):
            for b in range(a, 6):
                total = 0.0
                for i in range(count):
                    total += weight[i] * rows[a, i] * rows[b, i]
                products[a, b] = total
                if b < 4:
                    products[b, a] = total
            products[a, a] += 1e-6
        solution = np.linalg.solve(products[:, :4].copy(), products[:, 4:].copy())
        for i in range(count):
            u, v = rows[4, i], rows[5, i]
            for a in range(4):
                u -= solution[a, 0] * rows[a, i]
                v -= solution[a, 1] * rows[a, i]
            residual[i] = np.sqrt(u * u + v * v)
        scale = max(0.02, 2 * np.median(residual))
        for i in range(count):
            weight[i] = trusted[i] / (1 + (residual[i] / scale) ** 2) + 1e-9
    return np.ascontiguousarray(solution.T)


def strain(field: np.ndarray) -> np.ndarray:
    """Compute the optical strain (H, W) float32 of a flow (2, H, W): Frobenius norm of its symmetric gradient."""
    u_y, u_x = np.gradient(field[0])
    v_y, v_x = np.gradient(field[1])
    return np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2).astype(np.float32)


def flow_picture(field: np.ndarray, *, full_px: float | None = None) -> np.ndarray:
    """Draw a flow (2, H, W) as a picture (H, W, 3) uint8 BGR: hue is direction, saturation is length.

    Args:
        field: Flow (2, H, W).
        full_px: Length with full saturation. Default: the 99th percentile of the flow.
    """
    length, angle = cv2.cartToPolar(np.ascontiguousarray(field[0]), np.ascontiguousarray(field[1]), angleInDegrees=True)
    full_px = full_px or max(float(np.percentile(length, 99)), 0.25)
    saturation = np.clip(length / full_px, 0, 1)
    hsv = np.stack([angle / 2, 255 * saturation, np.full_like(length, 255)], axis=-1)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)
