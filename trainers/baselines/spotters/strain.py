"""Optical strain.

Matthew Shreve, Sridhar Godavarthy, Dmitry Goldgof and Sudeep Sarkar, Macro- and Micro-Expression Spotting in Long
Videos Using Spatio-Temporal Strain, FG 2011: skin that is pulled is strained. A stretch of large strain is an
expression; one that is short and lies in few regions is micro. The paper's regions are forehead, cheeks and mouth: a
grid of 3 x 3 here.
"""

import numpy as np
from scipy.ndimage import binary_closing

from merau.engine.flow import strain
from merau.trainers.baselines.spotters.clip import RATE, Rules, Spotted, SteadyClip, pool

DISTANCE = 6  # frames between which strain is measured
REGIONS = 3  # a side
SPREADS = 5.0  # above the median of a region, from which it is strained
SHORTEST_S, MICRO_S, MACRO_S = 0.1, 0.5, 4.0  # shortest, and longest of each kind
FEW = 6  # regions of a micro-expression at most


class Strain(Rules):
    """It spots both kinds."""

    def __call__(self, clip: SteadyClip) -> list[Spotted]:
        """See `SpottingMethod`."""
        measured = np.stack([strain(field) for field in clip.flow(DISTANCE)])  # (T, S, S)
        regions = pool(measured, REGIONS)
        middle = np.median(regions, 0)
        spread = 1.4826 * np.median(np.abs(regions - middle), 0)
        strained = regions > middle + SPREADS * np.maximum(spread, 1e-6)  # (T, 9)
        found = list[Spotted]()
        closed = binary_closing(strained.any(1), np.ones(DISTANCE))  # in the middle, rise and fall cancel out
        for onset, end in runs(closed):
            offset = max(end - DISTANCE, onset)  # a frame is strained until what it is compared with has moved, too
            duration_s = (offset - onset + 1) / RATE
            few = strained[onset : end + 1].any(0).sum() <= FEW
            if SHORTEST_S <= duration_s <= MICRO_S and few:
                found.append(Spotted("micro", onset, offset))
            elif MICRO_S < duration_s <= MACRO_S:
                found.append(Spotted("macro", onset, offset))
        return found


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return first and last index of each run of True in `mask` (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(int(start), int(end) - 1) for start, end in edges.reshape(-1, 2)]
