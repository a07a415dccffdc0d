"""Pulses: movements that rise and come back, seen in the flow from a lag ago.

Against the crop one lag earlier a movement shows as a lobe when it rises and as the same lobe with the other sign when
it falls. A drift of the head, or of the light, has the first and not the second.
"""

from dataclasses import dataclass

import numba
import numpy as np


@dataclass(frozen=True)
class Pulse:
    """px: (14, 13) how far each patch rose and has come back, pixels. rose: (14, 13) which of the lags it rose in."""

    px: np.ndarray
    rose: np.ndarray


def pulse(earlier: np.ndarray, now: np.ndarray) -> Pulse:
    """The strongest pulse of each patch between lagged flows `earlier` (N, 2, 14, 13) and `now` (2, 14, 13).

    A patch's pulse is the lesser of its earlier motion and of its motion now against that direction.
    """
    return Pulse(*_pulse(earlier, now))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _pulse(earlier, now):  # type: ignore[no-untyped-def]
    count, _, rows, columns = earlier.shape
    px, rose = np.zeros((rows, columns)), np.zeros((rows, columns), np.int64)
    for k in range(count):
        for i in range(rows):
            for j in range(columns):
                u, v = earlier[k, 0, i, j], earlier[k, 1, i, j]
                rise = np.sqrt(u * u + v * v)
                fall = -(u * now[0, i, j] + v * now[1, i, j]) / max(rise, 1e-6)
                both = min(rise, fall)
                if both > px[i, j]:
                    px[i, j], rose[i, j] = both, k
    return px, rose
