"""Average the coding noise of crops away, where a stream is coded coarsely."""

import cv2
import numpy as np


class CodingSmoother:
    """Give each crop of a track a running mean of itself and the crops before.

    The crops are aligned, so the mean loses noise and little else. It lags, and its time lags with it.
    """

    MEMORY_S = 0.048  # time constant: at 30 frames/s each frame counts half of the one after it
    MAX_GAP_S = 0.35  # after a longer one the mean begins anew

    def __init__(self) -> None:
        self._mean: np.ndarray | None = None  # (H, W) float32
        self._mean_s = self._last_s = 0.0

    def restart(self) -> None:
        """Begin anew with the next crop."""
        self._mean = None

    def smooth(self, grey: np.ndarray, t_s: float) -> tuple[np.ndarray, float]:
        """Return the mean of crops (H, W) uint8 up to this one, and its time in seconds."""
        step_s, self._last_s = t_s - self._last_s, t_s
        if self._mean is None or step_s > self.MAX_GAP_S:
            self._mean, self._mean_s = grey.astype(np.float32), t_s
            return grey, t_s
        weight = 1 - float(np.exp(-step_s / self.MEMORY_S))
        cv2.accumulateWeighted(grey, self._mean, weight)
        self._mean_s += weight * (t_s - self._mean_s)
        return cv2.convertScaleAbs(self._mean), self._mean_s
