"""MDMD: the main directional maximal difference of optical flow.

Su-Jing Wang, Shuhuang Wu, Xingsheng Qian, Jingxiu Li and Xiaolan Fu, A Main Directional Maximal Difference Analysis for
Spotting Facial Movements from Long-Term Videos, Neurocomputing 230, 2017. Around frame t flow is measured to it from k
frames before, and from there to k frames after; an expression rises before its apex and falls after it, so that both
differ along the main direction. Micro- and macro-expressions have windows of their own.
"""

import numpy as np

from merau.trainers.baselines.spotters.clip import (
    HALF,
    Rules,
    Spotted,
    SteadyClip,
    contrast,
    find_tops,
    pool,
    spans_around,
    top_third,
)

BLOCKS = 6  # a side
DIRECTIONS = 4  # sectors from which the main direction is taken, as in the paper
SHARE = {"micro": 0.5, "macro": 0.5}


class Mdmd(Rules):
    """It spots both kinds."""

    def __call__(self, clip: SteadyClip) -> list[Spotted]:
        """See `SpottingMethod`."""
        found = list[Spotted]()
        for kind, k in HALF.items():
            tops = find_tops(contrast(differences(clip.flow(k), k), k), SHARE[kind], k)
            found += spans_around(tops, kind, len(clip))
        return found


def differences(flow: np.ndarray, k: int) -> np.ndarray:
    """Return the mean of the largest third of the blocks' differences at each frame, (T,), of flow (T, 2, S, S)."""
    after = np.zeros_like(flow)
    after[:-k] = flow[k:]  # from frame t to k later
    sector = np.mod(np.floor(np.arctan2(flow[:, 1], flow[:, 0]) / (2 * np.pi) * DIRECTIONS), DIRECTIONS)
    member = (sector[:, None] == np.arange(DIRECTIONS)[:, None, None]).astype(float)  # (T, 4, S, S)
    shares = pool(member, BLOCKS)  # (T, 4, 36)
    main = shares.argmax(1)[:, None]
    rise, fall = (main_length(field, member, shares, main) for field in (flow, after))
    difference = np.hypot(*(rise - fall)) * (np.hypot(*rise) > 0)
    difference[:k] = difference[len(flow) - k :] = 0
    return top_third(difference)


def main_length(flow: np.ndarray, member: np.ndarray, shares: np.ndarray, main: np.ndarray) -> np.ndarray:
    """Return the mean flow of each block's pixels of its main direction, (2, T, 36)."""
    axes = [np.take_along_axis(pool(member * flow[:, i, None], BLOCKS), main, 1)[:, 0] for i in (0, 1)]
    return np.stack(axes) / np.maximum(np.take_along_axis(shares, main, 1)[:, 0], 1e-9)
