"""Pulses: movements that rise and come back, seen in the flow from a lag ago.

Against the crop one lag earlier a movement shows as a lobe when it rises and as the same lobe with the other sign when
it falls. A drift of the head, or of the light, has the first and not the second.
"""

import numpy as np


def reversal_score(earlier: np.ndarray, now: np.ndarray, floor: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """How far the lagged flow `now` (2, 14, 13) takes back each of the flows `earlier` (N, 2, 14, 13) at each part of
    the face, masks `parts` (parts, 14, 13): (N, parts), the geometric mean of rise and fall in noise floors (14, 13).

    All patches of a part have their say, each for the direction in which it rose: a faint movement is told from noise
    before it has wholly come back, for noise takes back some patches and not others.
    """
    patches = np.maximum(parts.sum(axis=(1, 2)), 1)[:, None, None, None]
    against = parts[:, None] * -now / floor**2 / patches
    product = earlier.reshape(len(earlier), -1) @ against.reshape(len(parts), -1).T
    return np.sqrt(np.maximum(product, 0.0))
