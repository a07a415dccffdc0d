"""Eulerian motion magnification: the change of each pixel's grey is enlarged, without any motion being measured.

Hao-Yu Wu, Michael Rubinstein, Eugene Shih, John Guttag, Fredo Durand and William Freeman, Eulerian Video Magnification
for Revealing Subtle Changes in the World, SIGGRAPH 2012; for micro-expressions Xiaobai Li et al. 2018 and Le Ngo et al.
2018 (survey, section 3.3). Equation numbers are those of Wu et al.

A clip of a flow set goes from rest to the apex in eight frames, so that the pass band of the temporal filter is all
that changed since the onset.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from merau.engine.validation import check_range
from merau.trainers.data.changes.changed_set import Square

LEVELS = 5  # of the Laplacian pyramid
FINEST_PX = 3.0  # wavelength of the finest level; each coarser one has twice that of the one before
CUT_OFF = 1 / 16  # wavelength below which less is magnified (lambda_c), in sides of the crop's inner square


@dataclass(frozen=True)
class Eulerian:
    """It is a `changed_set.Change`.

    Attributes:
        factor: How many times as large motion becomes, 1 + alpha.
    """

    factor: float = 4.0

    def __post_init__(self) -> None:
        check_range(self, "factor", low=1)

    def __call__(self, frames: np.ndarray, square: Square, rng: np.random.Generator) -> np.ndarray:
        """See `changed_set.Change`."""
        onset, alphas = pyramid(frames[0]), self.alphas(CUT_OFF * (square[0].stop - square[0].start))
        return np.stack([magnify(onset, pyramid(frame), alphas) for frame in frames])

    def alphas(self, cut_off_px: float) -> list[float]:
        """Return alpha of each level, the finest first.

        A level of wavelength lambda bears no more than (1 + alpha) delta < lambda / 8 (eq. 14), where delta is the
        shift for which lambda_c bears all.
        """
        lengths_px = [FINEST_PX * 2**level for level in range(LEVELS)]
        return [max(0.0, self.factor * min(1.0, length / cut_off_px) - 1) for length in lengths_px]


def magnify(onset: list[np.ndarray], frame: list[np.ndarray], alphas: list[float]) -> np.ndarray:
    """Return I + alpha B (eq. 5) of two pyramids, (H, W) uint8; B is what changed since the onset (eq. 4)."""
    changed = [now + alpha * (now - before) for before, now, alpha in zip(onset, frame, alphas, strict=True)]
    picture = changed[-1]
    for level in changed[-2::-1]:
        picture = cv2.pyrUp(picture, dstsize=level.shape[::-1]) + level
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def pyramid(frame: np.ndarray) -> list[np.ndarray]:
    """Return the Laplacian pyramid of (H, W), float32, the finest level first, the rest last."""
    levels, rest = [], frame.astype(np.float32)
    for _ in range(LEVELS - 1):
        smaller = cv2.pyrDown(rest)
        levels.append(rest - cv2.pyrUp(smaller, dstsize=rest.shape[::-1]))
        rest = smaller
    return [*levels, rest]
