"""Phase of the Riesz pyramid.

Carlos Arango Duque, Olivier Alata, Remi Emonet, Anne-Claire Legrand and Hubert Konik, Micro-Expression Spotting using
the Riesz Pyramid, WACV 2018: the local phase of a band moves with the skin. Phase differences from frame to frame are
added up, filtered in time, weighed by amplitude, and their peaks are micro-expressions. Eyes and mouth alone are
looked at.
"""

from itertools import pairwise

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from merau.trainers.baselines.spotters.clip import HALF, Rules, Spotted, SteadyClip, contrast, find_tops, spans_around

LEVEL = 2  # of the Laplacian pyramid: wavelengths of some 12 px of 96
TAPS = np.array([[-0.49, 0, 0.49]], np.float32)  # the approximate Riesz transform of Wadhwa et al. 2014
FAST, SLOW = (
    1.0,
    8.0,
)  # frames: what is faster than the one is noise, what is slower than the other is no micro-expression
SHARE = 0.5
PARTS = ((0.1, 0.4, 0.05, 0.95), (0.65, 1.0, 0.2, 0.8))  # rows and columns of eyes and brows, of the mouth


class Riesz(Rules):
    """It spots micro-expressions alone."""

    def __call__(self, clip: SteadyClip) -> list[Spotted]:
        """See `SpottingMethod`."""
        k = HALF["micro"]
        tops = find_tops(contrast(phase_changes(clip.frames), k), SHARE, k)
        return spans_around(tops, "micro", len(clip))


def phase_changes(frames: np.ndarray) -> np.ndarray:
    """Return how far the phase of frames (T, S, S) is from its slow course, in the part that moves most, (T,)."""
    bands = np.stack([riesz(band(frame)) for frame in frames])  # (T, 3, s, s)
    amplitude = np.sqrt((bands**2).sum(1))
    along = np.stack([np.zeros_like(bands[0, :2]), *(phase_step(*pair) for pair in pairwise(bands))])
    course = np.cumsum(along, 0)  # quaternionic phase, by axis
    moved = gaussian_filter1d(course, FAST, axis=0) - gaussian_filter1d(course, SLOW, axis=0)
    length = np.hypot(moved[:, 0], moved[:, 1])
    side = length.shape[-1]
    parts = [np.s_[:, *(slice(*(round(end * side) for end in axis)) for axis in (p[:2], p[2:]))] for p in PARTS]
    weighed = [
        (length[part] * amplitude[part]).sum((1, 2)) / np.maximum(amplitude[part].sum((1, 2)), 1e-9) for part in parts
    ]
    return np.max(weighed, 0)


def band(frame: np.ndarray) -> np.ndarray:
    """Return level LEVEL of the Laplacian pyramid of (S, S)."""
    rest = frame.astype(np.float32)
    for _ in range(LEVEL):
        rest = cv2.pyrDown(rest)
    return np.asarray(rest - cv2.pyrUp(cv2.pyrDown(rest), dstsize=rest.shape[::-1]))


def riesz(picture: np.ndarray) -> np.ndarray:
    """Return the picture and its Riesz transform along rows and columns, (3, s, s)."""
    return np.stack([picture, cv2.filter2D(picture, -1, TAPS), cv2.filter2D(picture, -1, TAPS.T)])


def phase_step(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the change of quaternionic phase between two bands (3, s, s), (2, s, s).

    It is the logarithm of the product of the one with the conjugate of the other, scaled to length 1.
    """
    real = (before * after).sum(0)
    imaginary = np.stack([before[0] * after[i] - after[0] * before[i] for i in (1, 2)])
    length = np.sqrt((imaginary**2).sum(0))
    return imaginary / np.maximum(length, 1e-9) * np.arctan2(length, real)
