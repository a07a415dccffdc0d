"""Chi-square difference of LBP histograms, and its peaks.

Antti Moilanen, Guoying Zhao and Matti Pietikainen, Spotting Rapid Facial Movements from Videos Using Appearance-Based
Feature Difference Analysis, ICPR 2014; Xiaobai Li et al., Towards Reading Hidden Emotions, IEEE Transactions on
Affective Computing 9, 2018, section 3. Equation numbers are those of Li et al.
"""

import numba
import numpy as np

from merau.trainers.baselines.lbp_top import INDEX, UNIFORM
from merau.trainers.baselines.spotters.clip import (
    HALF,
    Rules,
    Spotted,
    SteadyClip,
    contrast,
    find_tops,
    spans_around,
    top_third,
)

BLOCKS = 6  # a side
SHARE = 0.5  # of the way from the mean to the largest difference, from which a peak counts


class LbpDifference(Rules):
    """It spots micro-expressions alone: its window is as long as one."""

    def __call__(self, clip: SteadyClip) -> list[Spotted]:
        """See `SpottingMethod`."""
        k = HALF["micro"]
        tops = find_tops(contrast(differences(clip.frames, k), k), SHARE, k)
        return spans_around(tops, "micro", len(clip))


def differences(frames: np.ndarray, k: int) -> np.ndarray:
    """Return how far each frame (T, S, S) differs from those k before and k after, (T,).

    It is the mean of the largest third of the blocks' chi-square distances to the mean of both frames' histograms.
    """
    shares = block_histograms(frames, BLOCKS, INDEX)  # (T, 36, 59)
    padded = np.pad(shares, ((k, k), (0, 0), (0, 0)), mode="edge")
    return top_third(chi_square(shares, (padded[: -2 * k] + padded[2 * k :]) / 2))


def chi_square(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the chi-square distances (...) of histograms (..., bins)."""
    return np.asarray(((one - other) ** 2 / np.maximum(one + other, 1e-9)).sum(-1))


@numba.njit(cache=True)
def block_histograms(frames, blocks, index):  # type: ignore[no-untyped-def]
    """Return shares (T, blocks * blocks, UNIFORM) float64 of the uniform patterns of frames (T, H, W) uint8."""
    count, height, width = frames.shape
    shares = np.zeros((count, blocks * blocks, UNIFORM))
    rows, columns = (-1, -1, -1, 0, 1, 1, 1, 0), (-1, 0, 1, 1, 1, 0, -1, -1)
    for t in range(count):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                code = 0
                for bit in range(8):
                    code |= (frames[t, y + rows[bit], x + columns[bit]] >= frames[t, y, x]) << bit
                shares[t, y * blocks // height * blocks + x * blocks // width, index[code]] += 1
        for block in range(blocks * blocks):
            shares[t, block] /= shares[t, block].sum()
    return shares
