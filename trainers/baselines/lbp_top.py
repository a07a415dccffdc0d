"""LBP-TOP + SVM, as in the first papers on micro-expressions.

Dynamic Texture Recognition Using Local Binary Patterns with an Application to Facial Expressions.

Guoying Zhao and Matti Pietikainen, IEEE Transactions on Pattern Analysis and Machine Intelligence 29, 2007: uniform
patterns in blocks of the face, as in the first papers on micro-expressions.
"""

import numba
import numpy as np

from merau.engine.errors import UserError
from merau.trainers.baselines.frames import read_strips
from merau.trainers.baselines.svm import FeatureSvm, hellinger
from merau.trainers.evaluate.task import Task

BLOCKS = 5  # a side
MIN_FRAMES = 3
UNIFORM = 59  # bins: 58 patterns of at most two changes round the circle, and one for all others


def pattern_index() -> np.ndarray:
    """Return (256,), the bin of each 8-bit pattern."""
    index, following = np.full(256, UNIFORM - 1), 0
    for code in range(256):
        bits = [(code >> i) & 1 for i in range(8)]
        if sum(bits[i] != bits[i - 1] for i in range(8)) <= 2:
            index[code], following = following, following + 1
    return index


INDEX = pattern_index()
AROUND = np.array([[-1, -1], [-1, 0], [-1, 1], [0, 1], [1, 1], [1, 0], [1, -1], [0, -1]])


@numba.njit(cache=True)
def lbp_top(frames, blocks, index):  # type: ignore[no-untyped-def]
    """Return histograms (blocks, blocks, 3, 59) float64 of frames (T, H, W) uint8.

    The planes are XY, XT and YT; eight neighbours on the square of radius 1.
    """
    count, height, width = frames.shape
    histograms = np.zeros((blocks, blocks, 3, index.max() + 1))
    codes = np.empty(3, np.int64)
    for t in range(1, count - 1):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                centre = frames[t, y, x]
                codes[:] = 0
                for bit in range(8):
                    a, b = AROUND[bit]
                    codes[0] |= (frames[t, y + a, x + b] >= centre) << bit
                    codes[1] |= (frames[t + a, y, x + b] >= centre) << bit
                    codes[2] |= (frames[t + a, y + b, x] >= centre) << bit
                block_y, block_x = y * blocks // height, x * blocks // width
                for plane in range(3):
                    histograms[block_y, block_x, plane, index[codes[plane]]] += 1
    return histograms


def make_model(task: Task) -> FeatureSvm:
    """Return the baseline on the frames of `task`. Raises UserError where a strip has too few."""
    frames = read_strips(task.data, "lbp-top")
    if min(map(len, frames)) < MIN_FRAMES:
        raise UserError(f"lbp-top needs {MIN_FRAMES} frames or more in every strip of frames_png.")
    return FeatureSvm(task, hellinger(np.stack([lbp_top(strip, BLOCKS, INDEX) for strip in frames])), "LBP-TOP")
