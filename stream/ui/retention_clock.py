"""The clock that retention goes by. The computer's wall clock may be set while the page runs."""

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

STEP_S = 2.0  # smaller differences to the elapsed time are no step of the wall clock


def elapsed_s() -> float:
    """Return the time since the computer was started, in standby too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class RetentionClock:
    """Tells the time such that nothing looks older than it is, to whatever time the wall clock was set.

    What was recorded since this clock was made has the wall-clock time of its moment. After a step forward that makes
    it look too old. Until the step is a whole retention ago, this clock goes on as if it had not happened.

    Args:
        retention_h: How long things are kept.
        wall: Tells the wall-clock time.
        elapsed: Tells the elapsed seconds.
    """

    def __init__(
        self,
        retention_h: float,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = elapsed_s,
    ) -> None:
        self._retention_s, self._wall, self._elapsed = 3600 * retention_h, wall, elapsed
        # When a difference of wall clock and elapsed time was first seen, and the difference.
        self._offsets: deque[tuple[float, float]] = deque([(elapsed(), wall() - elapsed())])

    def now(self) -> datetime:
        """Return the time that retention counts to. Call it at least every minute, so that steps are seen."""
        elapsed_s = self._elapsed()
        offset_s = self._wall() - elapsed_s
        if abs(offset_s - self._offsets[-1][1]) > STEP_S:
            self._offsets.append((elapsed_s, offset_s))
        while len(self._offsets) > 1 and elapsed_s - self._offsets[1][0] > self._retention_s:
            self._offsets.popleft()
        return datetime.fromtimestamp(elapsed_s + min(offset_s for _, offset_s in self._offsets), UTC)
