"""Score reversals: movements that rise and come back, seen in the flow of a fixed lag.

Against the crop one lag earlier, a movement shows as a lobe when it rises, and as the same lobe with the opposite sign
when it falls. A drift of the head, or of the light, shows the first and not the second.
"""

import numpy as np


def reversal_score(earlier: np.ndarray, now: np.ndarray, floor: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Score how far the lagged flow `now` reverses each earlier one at each part of the face.

    All patches of a part count, each in the direction of its rise. So a faint movement exceeds noise before it has come
    back entirely, because noise reverses some patches and not others.

    Args:
        earlier: (N, 2, 14, 13) lagged flows, px.
        now: (2, 14, 13) lagged flow, px.
        floor: (14, 13) noise floor of each patch, px.
        parts: (parts, 14, 13) bool masks.

    Returns:
        (N, parts) geometric mean of rise and fall, in noise floors.
    """
    patches = np.maximum(parts.sum(axis=(1, 2)), 1)[:, None, None, None]
    against = parts[:, None] * -now / floor**2 / patches
    product = earlier.reshape(len(earlier), -1) @ against.reshape(len(parts), -1).T
    score: np.ndarray = np.sqrt(np.maximum(product, 0.0))
    return score
