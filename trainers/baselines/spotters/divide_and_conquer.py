"""The apex by divide and conquer.

Sze-Teng Liong, John See, KokSheik Wong, Anh Cat Le Ngo, Yee-Hui Oh and Raphael Phan, Automatic Apex Frame Spotting in
Micro-expression Database, ACPR 2015; in the survey's section 5. The features are LBP histograms, compared with those of
the first frame.
"""

import numpy as np
from scipy.signal import argrelmax

from merau.trainers.baselines.lbp_top import INDEX
from merau.trainers.baselines.spotters.clip import Rules, Spotted, SteadyClip, spans_around
from merau.trainers.baselines.spotters.lbp_difference import BLOCKS, block_histograms


class DivideAndConquer(Rules):
    """It knows of one apex in every clip, whether there is any."""

    def __call__(self, clip: SteadyClip) -> list[Spotted]:
        """See `SpottingMethod`."""
        return spans_around([find_apex(clip.frames)], "micro", len(clip))


def find_apex(frames: np.ndarray) -> int:
    """Return the apex of frames (T, S, S): of the peaks, the half with the larger sum is taken until one is left."""
    change = changes(frames)
    peaks = argrelmax(change)[0]
    low, high = 0, len(change)
    while len(peaks) > 1:
        middle = (low + high) // 2
        left, right = peaks[peaks < middle], peaks[peaks >= middle]
        is_left = change[left].sum() >= change[right].sum()
        low, high = (low, middle) if is_left else (middle, high)
        peaks = left if is_left else right
    return int(peaks[0]) if len(peaks) else int(change.argmax())


def changes(frames: np.ndarray) -> np.ndarray:
    """Return 1 minus the correlation of each frame's histograms with those of the first, (T,): the paper's eq. 1."""
    shares = block_histograms(frames, BLOCKS, INDEX).reshape(len(frames), -1)
    lengths = np.linalg.norm(shares, axis=1)
    return np.asarray(1 - shares @ shares[0] / (lengths * lengths[0]))
