"""Dense optical flow between two crops, the removal of head motion from it, and strain.

Flow is (2, H, W) float32 in pixels from onset to apex: `flow[0]` is u (+ right), `flow[1]` is v (+ down).
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
CELL_PX = 4  # the head-motion fit samples the flow on this grid
DEPTH_FILE = Path(__file__).with_name("face_depth.npy")  # (45, 42) float32 over the full crop
DEPTH_CELL_PX = 4

_of_this_thread = threading.local()  # cv2.DISOpticalFlow keeps buffers and must not be shared between threads


def flow(onset: np.ndarray, apex: np.ndarray, *, method: str = "dis") -> np.ndarray:
    """Flow (2, H, W) float32, pixels, from `onset` to `apex`, both (H, W) uint8.

    "dis" is Kroeger et al. 2016, medium preset ("fast" halves small motions); "farneback" is Farneback 2003 with the
    parameters MERAU's authors use; "cuda" is the same on the GPU, and raises engine.errors.DeviceError where there is
    none.
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

    solvers, size = _of_this_thread.__dict__, f"cuda {height} x {width}"
    if size not in solvers:
        solvers[size] = Farneback(device(), 1, height, width)
    return solvers[size]


def _dis() -> cv2.DISOpticalFlow:
    if not hasattr(_of_this_thread, "dis"):
        _of_this_thread.dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return _of_this_thread.dis


def pair_flow(onset: np.ndarray, apex: np.ndarray, *, spec: CropSpec, method: str = "dis") -> np.ndarray:
    """Facial flow (2, size_px, size_px) float32 of two full crops (H, W) uint8: head motion removed, border cut off."""
    facial = remove_global_motion(flow(onset, apex, method=method), texture(onset), spec=spec)
    return np.ascontiguousarray(facial[:, *spec.inner])


def texture(grey: np.ndarray) -> np.ndarray:
    """Trust in the flow at each pixel, (H, W) float32 in 0..1: g2 / (g2 + 30) of the smoothed squared gradient g2."""
    dx, dy = cv2.spatialGradient(grey)
    g2 = cv2.boxFilter(dx.astype(np.float32) ** 2 + dy.astype(np.float32) ** 2, -1, (5, 5)) / 16
    return g2 / (g2 + 30)


def remove_global_motion(field: np.ndarray, trust: np.ndarray, *, spec: CropSpec) -> np.ndarray:
    """`field` (2, H, W) of a full crop without the motion of the whole head.

    Each axis is fitted by [1, x, y, z] over the face, z a generic face depth: translation, rotation, scale, shear, and
    to first order the parallax of a turn. Weights are `trust` (H, W) times Cauchy weights, five iterations, so that
    moving brows or lips do not drag the fit.
    """
    fit = fit_global_motion(field, trust, spec=spec)
    return field - (fit.astype(np.float32) @ motion_basis(spec).reshape(4, -1)).reshape(field.shape)


def fit_global_motion(field: np.ndarray, trust: np.ndarray, *, spec: CropSpec) -> np.ndarray:
    """Coefficients (2, 4) float64 of `motion_basis` for u and v: the motion of the head is their product."""
    return fit_motion(field, trust, motion_basis(spec), face_cells(spec))


def fit_motion(field: np.ndarray, trust: np.ndarray, basis: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The same for any grid: `field` (2, R, C), `trust` (R, C), `basis` (4, R, C), all float32, and the `cells` (N, 2)
    int32 of the grid that count.
    """
    return _fit(field, trust, basis, cells)


@lru_cache
def motion_basis(spec: CropSpec) -> np.ndarray:
    """[1, x, y, z] at each pixel of the full crop, (4, H, W) float32.

    x and y are fractions of the inner square from its centre; z is the mean height of many face meshes
    (scripts/make_face_depth.py), 1 at the nose.
    """
    height, width = spec.full
    rows, columns = np.mgrid[:height, :width]
    x = (columns - spec.side_px) / spec.size_px - 0.5
    y = (rows - spec.top_px) / spec.size_px - 0.5
    depth = cv2.resize(np.load(DEPTH_FILE), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.stack([np.ones_like(x), x, y, depth]).astype(np.float32)


def on_face(basis: np.ndarray) -> np.ndarray:
    """Which places (R, C) bool of a basis (4, R, C) lie on the face."""
    _, x, y, _ = basis
    return (x / 0.6) ** 2 + ((y - 0.02) / 0.72) ** 2 <= 1


@lru_cache
def face_cells(spec: CropSpec) -> np.ndarray:
    """Pixels (N, 2) int32 of the face at which a dense flow is fitted."""
    first = slice(CELL_PX // 2, None, CELL_PX)
    return CELL_PX // 2 + CELL_PX * np.argwhere(on_face(motion_basis(spec))[first, first]).astype(np.int32)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _fit(field, trust, basis, cells):  # type: ignore[no-untyped-def]
    count = len(cells)
    trusted = np.empty(count)
    rows = np.empty((6, count))  # 1, x, y, z, u, v of each cell: gathered once, so that the loops below are vectorised
    for i in range(count):
        r, c = cells[i]
        trusted[i] = trust[r, c]
        for a in range(4):
            rows[a, i] = basis[a, r, c]
        rows[4, i], rows[5, i] = field[0, r, c], field[1, r, c]
    weight = trusted + 1e-9
    residual = np.empty(count)
    products = np.zeros((4, 6))  # the normal matrix and, in the last two columns, the right-hand sides
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
    """Optical strain magnitude (H, W) float32 of `field` (2, H, W): Frobenius norm of the symmetric gradient."""
    u_y, u_x = np.gradient(field[0])
    v_y, v_x = np.gradient(field[1])
    return np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2).astype(np.float32)


def flow_picture(field: np.ndarray, *, full_px: float | None = None) -> np.ndarray:
    """`field` (2, H, W) as a picture (H, W, 3) uint8 BGR: hue is direction, saturation is length.

    `full_px` is the length, in pixels, that is drawn in full colour; by default the 99th percentile of the field.
    """
    length, angle = cv2.cartToPolar(np.ascontiguousarray(field[0]), np.ascontiguousarray(field[1]), angleInDegrees=True)
    full_px = full_px or max(float(np.percentile(length, 99)), 0.25)
    saturation = np.clip(length / full_px, 0, 1)
    hsv = np.stack([angle / 2, 255 * saturation, np.full_like(length, 255)], axis=-1)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)
