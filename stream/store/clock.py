"""The clock that retention goes by. The computer's wall clock may be set while a program runs."""

import time
from collections.abc import Callable
from datetime import UTC, datetime


def iso_time(at: datetime) -> str:
    """Return a time as the store writes it: ISO 8601 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def elapsed_s() -> float:
    """Return the time since the computer was started, in standby too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SteadyClock:
    """Starts with the wall clock and then goes on by itself, to whatever time the wall clock is set.

    Args:
        wall: Tells the wall-clock time.
        elapsed: Tells the elapsed seconds.
    """

    def __init__(self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed_s) -> None:
        self._elapsed, self._zero_s = elapsed, wall() - elapsed()

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.fromtimestamp(self._zero_s + self._elapsed(), UTC)


CLOCK = SteadyClock()
"""The clock of this process: what it recorded is as old as this clock says."""
