"""The face crop: one layout for spotting, recognition and training.

The origin of crop coordinates is the upper left corner of the inner square; `CropSpec.full` adds a border, so that
brows and chin are inside. The eye centres are at (.22, .25) and (.78, .25) of the square, the mouth centre at
(.5, .82). This is the layout of the public flow set of MEGC 2019, the Micro-Expression Grand Challenge.
"""

import math
from dataclasses import dataclass

import cv2
import numba
import numpy as np

from merau.engine.validation import check_range

LEFT_EYE = (33, 133)  # on the left of the image: outer and inner corner in the 468-point mesh
RIGHT_EYE = (263, 362)
MOUTH = (61, 291)
PAIRS = np.array([LEFT_EYE, RIGHT_EYE, MOUTH])
LAYOUT = np.array([[0.22, 0.25], [0.78, 0.25], [0.5, 0.82]])  # eye, eye, mouth, as fractions of the square


@dataclass(frozen=True)
class CropSpec:
    """Size of the crop in pixels.

    Attributes:
        size_px: Side of the inner square.
        side_px: Border on the left and on the right.
        top_px: Border above.
        bottom_px: Border below.
    """

    size_px: int = 128
    side_px: int = 20
    top_px: int = 36
    bottom_px: int = 16

    def __post_init__(self) -> None:
        check_range(self, "size_px", low=32, high=512)
        check_range(self, "side_px", "top_px", "bottom_px", low=0, high=self.size_px)

    @property
    def full(self) -> tuple[int, int]:
        """(height, width) of the crop with its border."""
        return self.top_px + self.size_px + self.bottom_px, self.size_px + 2 * self.side_px

    @property
    def inner(self) -> tuple[slice, slice]:
        """(rows, columns) of the inner square within the full crop."""
        return slice(self.top_px, self.top_px + self.size_px), slice(self.side_px, self.side_px + self.size_px)


def anchors(landmarks: np.ndarray) -> np.ndarray:
    """Return the centres (3, 2) of both eyes and the mouth of a mesh (468, 2 or 3)."""
    return landmarks[PAIRS, :2].mean(axis=1)


def layout_transform(shape: np.ndarray, spec: CropSpec) -> np.ndarray:
    """Return the affine map (2, 3) from the eye and mouth centres of `shape` (468, 2 or 3) to the layout."""
    target = LAYOUT * spec.size_px + (spec.side_px, spec.top_px)
    return cv2.getAffineTransform(anchors(shape).astype(np.float32), target.astype(np.float32))


def similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fit the similarity (2, 3) from `points` to `target`, both (N, 2), by least squares: Umeyama 1991."""
    return _similarity(points, target)


@numba.njit(cache=True, nogil=True)
def _similarity(points, target):  # type: ignore[no-untyped-def]
    count = len(points)
    x = y = u = v = 0.0  # centres of both
    for i in range(count):
        x, y, u, v = x + points[i, 0], y + points[i, 1], u + target[i, 0], v + target[i, 1]
    x, y, u, v = x / count, y / count, u / count, v / count
    norm = along = across = 0.0
    for i in range(count):
        p, q, r, s = points[i, 0] - x, points[i, 1] - y, target[i, 0] - u, target[i, 1] - v
        norm, along, across = norm + p * p + q * q, along + p * r + q * s, across + p * s - q * r
    a, b = along / norm, across / norm
    return np.array([[a, -b, u - a * x + b * y], [b, a, v - b * x - a * y]])


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return the map (2, 3) that applies `inner` first and `outer` to its result."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map `points` (N, 2 or 3) by `matrix` (2, 3) to (N, 2)."""
    return points[:, :2] @ matrix[:, :2].T + matrix[:, 2]


def crop_face(image: np.ndarray, matrix: np.ndarray, spec: CropSpec) -> np.ndarray:
    """Cut the full crop out of a frame.

    Args:
        image: (H, W) or (H, W, 3).
        matrix: (2, 3), maps frame pixels to full-crop pixels.
        spec: Layout of the crop.

    Returns:
        The full crop, with the dtype of `image`.
    """
    height, width = spec.full
    (a, b, _), (c, d, _) = matrix.tolist()
    scale = math.sqrt(abs(a * d - b * c))
    if scale < 0.5:  # a large face: without averaging first, fine texture would alias into motion
        image, matrix = _shrink(image, matrix, int(1 / scale), spec)
    if image.ndim == 3:
        return warp(image, cv2.invertAffineTransform(matrix), (width, height))
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def warp(
    bgr: np.ndarray, to_source: np.ndarray, size: tuple[int, int], *, border: int = cv2.BORDER_REPLICATE
) -> np.ndarray:
    """Sample an image through an affine map.

    OpenCV warps four channels in half the time of three, so a fourth is added meanwhile.

    Args:
        bgr: (H, W, 3) uint8.
        to_source: (2, 3), maps pixels of the result to those of `bgr`.
        size: (width, height) of the result.
        border: OpenCV's border mode, for pixels outside of `bgr`.

    Returns:
        (height, width, 3) uint8.
    """
    width, height = size
    (a, b, x), (c, d, y) = to_source.tolist()
    xs, ys = (0, a * width, b * height, a * width + b * height), (0, c * width, d * height, c * width + d * height)
    x0 = min(max(math.floor(x + min(xs)) - 2, 0), bgr.shape[1] - 1)
    y0 = min(max(math.floor(y + min(ys)) - 2, 0), bgr.shape[0] - 1)
    x1, y1 = max(math.ceil(x + max(xs)) + 3, x0 + 1), max(math.ceil(y + max(ys)) + 3, y0 + 1)
    seen = cv2.cvtColor(bgr[y0:y1, x0:x1], cv2.COLOR_BGR2BGRA)
    inside = np.array([[a, b, x - x0], [c, d, y - y0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.cvtColor(cv2.warpAffine(seen, inside, size, flags=flags, borderMode=border), cv2.COLOR_BGRA2BGR)


def _shrink(image: np.ndarray, matrix: np.ndarray, factor: int, spec: CropSpec) -> tuple[np.ndarray, np.ndarray]:
    """Average blocks of `factor` x `factor` pixels in the part of `image` that the crop covers; adapt `matrix`."""
    height, width = spec.full
    corners = apply(cv2.invertAffineTransform(matrix), np.array([[0, 0], [width, 0], [0, height], [width, height]]))
    limit = (image.shape[1], image.shape[0])
    # The grid of blocks is fixed, so that a moving face does not change how it is averaged.
    x0, y0 = (np.clip(corners.min(0) - factor, 0, limit) // factor).astype(int)
    x1, y1 = (np.clip(corners.max(0) + factor, 0, limit) // factor).astype(int)
    seen = image[y0 * factor : max(y1, y0 + 1) * factor, x0 * factor : max(x1, x0 + 1) * factor]
    small = cv2.resize(seen, (max(x1 - x0, 1), max(y1 - y0, 1)), interpolation=cv2.INTER_AREA)
    first = np.array([x0, y0]) * factor + (factor - 1) / 2  # centre of the first block in frame pixels
    return small, np.column_stack([matrix[:, :2] * factor, matrix[:, 2] + matrix[:, :2] @ first])
