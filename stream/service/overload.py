"""What gives way when a machine cannot carry its cameras: frames first, then the detector, and never unsaid."""

from collections import deque
from typing import NamedTuple

WINDOW_S = 10.0  # over which dropped frames are counted
TOO_MANY = 0.05  # a larger share of dropped frames is an overload
CALM_S = 120.0  # without a dropped frame, after which one step is taken back; doubled each time that was too early
CALM_LIMIT_S = 3600.0


class Step(NamedTuple):
    """How the analysis of all cameras is eased.

    Attributes:
        every: Only one of so many frames is analysed.
        detector: The face detector of all cameras; None leaves each its own.
        text: The same for a person.
    """

    every: int
    detector: str | None
    text: str


STEPS = (
    Step(1, None, "every frame is analysed"),
    Step(2, None, "every second frame is analysed"),
    Step(3, None, "every third frame is analysed"),
    Step(3, "short", "every third frame is analysed, with the detector 'short'"),
)


class Overload:
    """Chooses the step by what the cameras drop.

    Attributes:
        step: The present step.
    """

    def __init__(self) -> None:
        self.step = STEPS[0]
        self._counts: deque[tuple[float, int, int]] = deque()
        self._changed_s = self._dropped_s = 0.0
        self._restored_s = -CALM_LIMIT_S  # when a step was taken back
        self._calm_s = CALM_S

    def observe(self, now_s: float, frames: int, dropped: int) -> bool:
        """Take the sums of all cameras so far, and return whether the step has changed.

        Args:
            now_s: On a steady clock.
            frames: Frames that the cameras gave.
            dropped: Frames among them that were dropped because the analysis was late.
        """
        if self._counts and (frames < self._counts[-1][1] or dropped < self._counts[-1][2]):  # a session began
            self._counts.clear()
        if self._counts and dropped > self._counts[-1][2]:
            self._dropped_s = now_s
        self._counts.append((now_s, frames, dropped))
        while now_s - self._counts[0][0] > WINDOW_S:
            self._counts.popleft()
        if self._is_overloaded(now_s) and self.step is not STEPS[-1]:
            if now_s - self._restored_s < CALM_S:
                self._calm_s = min(2 * self._calm_s, CALM_LIMIT_S)
            return self._take(STEPS[STEPS.index(self.step) + 1], now_s)
        if self.step is STEPS[0] or now_s - max(self._dropped_s, self._changed_s) <= self._calm_s:
            return False
        self._restored_s = now_s
        return self._take(STEPS[STEPS.index(self.step) - 1], now_s)

    def _is_overloaded(self, now_s: float) -> bool:
        first_s, frames, dropped = self._counts[0]
        given = self._counts[-1][1] - frames
        is_full = now_s - first_s > 0.9 * WINDOW_S
        return is_full and given > 0 and (self._counts[-1][2] - dropped) / given > TOO_MANY

    def _take(self, step: Step, now_s: float) -> bool:
        self.step, self._changed_s = step, now_s
        self._counts.clear()
        return True
