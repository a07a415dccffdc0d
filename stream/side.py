"""On which side of a face an expression shows."""

import numpy as np

from merau.engine.preprocess import downsample
from merau.stream.events import Side

CELLS = 8  # of a face along each axis
STRONGEST = 4  # cells of each half whose mean motion is compared
LEAST_PX = 0.35  # of the stronger half: less is seen in faces at rest
RATIO = 3.0  # the stronger half moves at least so many times as far as the other where only one side shows it


def side_of(flow: np.ndarray) -> Side:
    """Return the side of the person on which a face moved, "" where it moved too little to tell.

    Args:
        flow: Facial flow from onset to apex, (2, size_px, size_px) px, of a picture that is not mirrored: the person's
            left is on the picture's right.
    """
    length = np.hypot(*downsample(flow))
    cells = length.reshape(CELLS, len(length) // CELLS, CELLS, -1).mean((1, 3))
    right, left = (np.sort(half, axis=None)[-STRONGEST:].mean() for half in np.hsplit(cells, 2))
    if max(left, right) < LEAST_PX:
        return ""
    if max(left, right) < RATIO * min(left, right):
        return "both"
    return "left" if left > right else "right"
