"""Lagrangian motion magnification: motion is measured, enlarged, and the onset is warped by it.

Anh Cat Le Ngo, Alan Johnston, Raphael Phan and John See, Micro-expression Motion Magnification: Global Lagrangian vs.
Local Eulerian Approaches, FG 2018 (survey, section 3.3): the displacements of all frames from the onset are a matrix
whose principal components hold what moves most; what is left is noise, and is not magnified.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from merau.engine.validation import check_range
from merau.trainers.data.changes.changed_set import Square

ENERGY = 0.95  # share of the displacements' energy that the kept components hold
STEPS = 5  # of the search for what lands on a pixel


@dataclass(frozen=True)
class Lagrangian:
    """It is a `changed_set.Change`.

    Attributes:
        factor: How many times as large motion becomes, 1 + alpha.
    """

    factor: float = 4.0

    def __post_init__(self) -> None:
        check_range(self, "factor", low=1)

    def __call__(self, frames: np.ndarray, square: Square, rng: np.random.Generator) -> np.ndarray:
        """See `changed_set.Change`: frame t is the onset, moved by (1 + alpha) u_t."""
        if self.factor == 1:
            return frames
        moved = dominant(displacements(frames))
        return np.stack([frames[0], *(warp(frames[0], self.factor * u) for u in moved)])


def displacements(frames: np.ndarray) -> np.ndarray:
    """Return how far each pixel of the onset has moved in each later frame, (T - 1, 2, H, W) float32 px."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = [dis.calc(frames[0], frame, np.zeros((*frame.shape, 2), np.float32)) for frame in frames[1:]]
    return np.stack(flows).transpose(0, 3, 1, 2)


def dominant(moved: np.ndarray) -> np.ndarray:
    """Return displacements (T, 2, H, W) from the principal components that hold ENERGY of them."""
    components, sizes, places = np.linalg.svd(moved.reshape(len(moved), -1), full_matrices=False)
    energy = np.cumsum(sizes**2)
    kept = 1 + int(np.searchsorted(energy, ENERGY * energy[-1]))
    return np.asarray(((components[:, :kept] * sizes[:kept]) @ places[:kept]).reshape(moved.shape), np.float32)


def warp(picture: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return `picture` (H, W) uint8 with each pixel x moved by `moved` (2, H, W) to x + u(x).

    A pixel y shows what landed on it: x = y - u(x), found by repetition.
    """
    height, width = picture.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    u, v = moved[0].copy(), moved[1].copy()
    for _ in range(STEPS):
        u, v = (
            cv2.remap(axis, columns - u, rows - v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for axis in moved
        )
    return cv2.remap(picture, columns - u, rows - v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
