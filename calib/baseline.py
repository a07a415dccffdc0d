"""What is normal for this person in front of this camera, learned from the stream as it runs.

Both estimators take the time that has passed, not a count of frames, so that the frame rate changes nothing.
"""

import numpy as np


class NoiseFloor:
    """The level below which an array of magnitudes lies `quantile` of the time, element by element.

    Stochastic quantile tracking in the log domain (Robbins and Monro 1951): each step moves the level up by
    `quantile` or down by `1 - quantile` times a rate, so that a burst of motion moves it no further than any other
    frame. It begins at `prior` and learns faster at first.
    """

    def __init__(self, prior: np.ndarray, *, quantile: float = 0.8, memory_s: float = 4.0):
        self.level = prior.astype(np.float64)
        self._quantile, self._memory_s, self._age_s = quantile, memory_s, 0.0

    def update(self, magnitude: np.ndarray, step_s: float) -> None:
        """Learns from `magnitude`, the shape of `prior`, that was measured `step_s` after the one before."""
        self._age_s += step_s
        rate = step_s / min(self._memory_s, 0.5 + self._age_s)
        self.level *= np.exp(rate * np.where(magnitude > self.level, self._quantile, self._quantile - 1))


class Neutral:
    """The usual value of a scalar, such as the opening of the eyes: a median that follows slowly, in the unit given."""

    def __init__(self, *, memory_s: float = 10.0):
        self.value: float | None = None
        self._memory_s, self._age_s, self._spread = memory_s, 0.0, 0.0

    def update(self, value: float, step_s: float) -> None:
        """Learns from `value`, measured `step_s` after the one before."""
        if self.value is None:
            self.value, self._spread = value, 0.05 * abs(value)
        self._age_s += step_s
        rate = step_s / min(self._memory_s, 0.3 + self._age_s)
        error = value - self.value
        self.value += rate * float(np.clip(error, -3 * self._spread, 3 * self._spread))
        self._spread += rate * (min(abs(error), 3 * self._spread) - self._spread)
        self._spread = max(self._spread, 0.01 * abs(self.value))
