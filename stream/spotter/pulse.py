"""Pulses: movements that rise and come back, seen in the flow from a lag ago.

Against the crop one lag earlier a movement shows as a lobe when it rises and as the same lobe with the other sign when
it falls. A drift of the head, or of the light, has the first and not the second.
"""

import numba
import numpy as np


def pulses(earlier: np.ndarray, now: np.ndarray) -> np.ndarray:
    """How far each patch rose and has come back, (N, 14, 13) pixels, from lagged flows `earlier` (N, 2, 14, 13) and
    `now` (2, 14, 13): the lesser of its earlier motion and of its motion now against that direction."""
    px = np.empty((len(earlier), *now.shape[1:]))
    _pulses(earlier, now, px)
    return px


def strongest(strength: np.ndarray, part: np.ndarray, count: int) -> np.ndarray:
    """Mean of the `count` strongest patches of `part` (14, 13) bool at each of the N lags of `strength` (N, 14, 13).

    A movement takes more than one patch along, and all of them at one time.
    """
    return np.partition(strength[:, part], -count, axis=1)[:, -count:].mean(axis=1)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _pulses(earlier, now, px):  # type: ignore[no-untyped-def]
    for k in range(px.shape[0]):
        for i in range(px.shape[1]):
            for j in range(px.shape[2]):
                u, v = earlier[k, 0, i, j], earlier[k, 1, i, j]
                rise = np.sqrt(u * u + v * v)
                fall = -(u * now[0, i, j] + v * now[1, i, j]) / max(rise, 1e-6)
                px[k, i, j] = max(min(rise, fall), 0.0)
