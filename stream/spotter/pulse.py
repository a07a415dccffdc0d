"""Pulses: movements that rise and come back, seen in the flow from a lag ago.

Against the crop one lag earlier a movement shows as a lobe when it rises and as the same lobe with the other sign when
it falls. A drift of the head, or of the light, has the first and not the second.
"""

from dataclasses import dataclass

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
    rise = np.hypot(earlier[:, 0], earlier[:, 1])
    fall = -(earlier * now).sum(axis=1) / np.maximum(rise, 1e-6)
    both = np.minimum(rise, fall)
    rose = both.argmax(axis=0)
    return Pulse(np.take_along_axis(both, rose[None], axis=0)[0].clip(0), rose)
