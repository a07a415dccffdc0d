"""Learn from the stream what is usual for this person before this camera.

The estimators go by the time that has passed, not by a count of frames, so the frame rate changes nothing.
"""

import math

import numba
import numpy as np

RIDGE_PX2_S = 0.5  # parallax that must be seen before a face's depth is trusted


class NoiseFloor:
    """Running quantile of an array of magnitudes, element by element.

    Stochastic quantile tracking in the log domain (Robbins and Monro, 1951): each step moves the level up by `quantile`
    or down by `1 - quantile` times a rate, so a burst of motion moves it no further than any other frame. It starts at
    `prior` and learns faster at first.

    Args:
        prior: Level at the start.
        quantile: Share of the time in which magnitudes lie below the level.
        memory_s: Time constant.
    """

    def __init__(self, prior: np.ndarray, *, quantile: float = 0.8, memory_s: float = 4.0):
        self.level = prior.astype(np.float64)
        self._quantile, self._memory_s, self._age_s = quantile, memory_s, 0.0

    def update(self, magnitude: np.ndarray, step_s: float) -> None:
        """Learn from `magnitude`, of the shape of `prior`, measured `step_s` after the one before."""
        self._age_s += step_s
        rate = step_s / min(self._memory_s, 0.1 + self._age_s)
        up, down = math.exp(rate * self._quantile), math.exp(rate * (self._quantile - 1))
        self.level *= np.where(magnitude > self.level, up, down)


class RunningMedian:
    """Running median of a scalar, such as the opening of the eyes, with a time constant of `memory_s`."""

    def __init__(self, *, memory_s: float = 10.0):
        self.value: float | None = None
        self._memory_s, self._age_s, self._spread = memory_s, 0.0, 0.0

    def update(self, value: float, step_s: float) -> None:
        """Learn from `value`, measured `step_s` after the one before."""
        if self.value is None:
            self.value, self._spread = value, 0.05 * abs(value)
        self._age_s += step_s
        rate = step_s / min(self._memory_s, 0.3 + self._age_s)
        error = value - self.value
        self.value += rate * float(np.clip(error, -3 * self._spread, 3 * self._spread))
        self._spread += rate * (min(abs(error), 3 * self._spread) - self._spread)
        self._spread = max(self._spread, 0.01 * abs(self.value))


class ParallaxModel:
    """Where this person's face is deeper or flatter than the mean face, by the parallax of head turns.

    A turn moves each patch by its depth times one vector, which the fit of the whole face measures. What
    remains of a patch's motion along that vector, by a running robust regression, is the depth that the mean face
    lacks.

    Args:
        shape: Rows and columns of the patches.
        memory_s: Time constant.
    """

    def __init__(self, shape: tuple[int, ...], *, memory_s: float = 30.0):
        self._along, self._power, self._memory_s = np.zeros(shape), np.zeros(shape), memory_s

    def update(self, patches: np.ndarray, turn: np.ndarray, floor: np.ndarray, step_s: float) -> None:
        """Learn from `patches` (2, ...) and `turn` (2,), px; motion far above `floor` (...) counts as an expression."""
        _learn(self._along, self._power, patches, turn, floor, step_s, np.exp(-step_s / self._memory_s))

    def remove(self, patches: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """Subtract from `patches` (2, ...) the parallax of the depth learned so far."""
        return patches - turn[:, None, None] * (self._along / (self._power + RIDGE_PX2_S))


@numba.njit(cache=True, nogil=True)
def _learn(along, power, patches, turn, floor, step_s, fade):  # type: ignore[no-untyped-def]
    squared = turn[0] ** 2 + turn[1] ** 2
    for i in range(along.shape[0]):
        for j in range(along.shape[1]):
            u, v = patches[0, i, j], patches[1, i, j]
            deep = along[i, j] / (power[i, j] + RIDGE_PX2_S)
            left2 = (u - turn[0] * deep) ** 2 + (v - turn[1] * deep) ** 2
            trust = step_s / (1 + left2 / (2 * floor[i, j]) ** 2)
            along[i, j] = fade * along[i, j] + trust * (turn[0] * u + turn[1] * v)
            power[i, j] = fade * power[i, j] + trust * squared
