"""Decides which events become alarms."""

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from merau.stream.service.alerts.settings import Filter, parse_quiet_hours
from merau.stream.service.events import CameraEvent

RATE_PERIOD_S = 60.0
Verdict = Literal["alarm", "no_match", "quiet_hours", "rate_limit"]


class AlarmFilter:
    """The filter of one receiver, with the alarms of the last minute.

    Args:
        settings: What it lets pass.
        monotonic: Seconds, for the rate limit; a clock that is set changes nothing.
    """

    def __init__(self, settings: Filter, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._monotonic = settings, monotonic
        self._quiet = [parse_quiet_hours(text) for text in settings.quiet_hours]
        self._passed_s: dict[str, deque[float]] = {}  # by camera

    def judge(self, event: CameraEvent, now: datetime) -> Verdict:
        """Tell whether an event becomes an alarm, and why not. One that does counts for the rate limit.

        Args:
            event: A report of an event; only the final one can become an alarm.
            now: The time by the clock of this machine, with its zone.
        """
        if not (event.event.final and self._matches(event)):
            return "no_match"
        if self._is_quiet(now):
            return "quiet_hours"
        return "alarm" if self._has_room(event.camera) else "rate_limit"

    def _matches(self, event: CameraEvent) -> bool:
        settings, found = self._settings, event.event
        named = "" if found.uncertain else found.label
        likely = found.probabilities.get(found.label, 0.0)
        return (
            (not settings.cameras or event.camera in settings.cameras)
            and (not settings.groups or event.group in settings.groups)
            and (not settings.kinds or found.kind in settings.kinds)
            and (not settings.classes or named in settings.classes)
            and likely >= settings.min_probability
        )

    def _is_quiet(self, now: datetime) -> bool:
        at = now.time()
        return any(begin <= at < end if begin < end else at >= begin or at < end for begin, end in self._quiet)

    def _has_room(self, camera: str) -> bool:
        if self._settings.per_minute is None:
            return True
        now_s, passed_s = self._monotonic(), self._passed_s.setdefault(camera, deque())
        while passed_s and now_s - passed_s[0] >= RATE_PERIOD_S:
            passed_s.popleft()
        if len(passed_s) >= self._settings.per_minute:
            return False
        passed_s.append(now_s)
        return True
