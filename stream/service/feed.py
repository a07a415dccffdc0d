"""Passes events on to those who listen now."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from merau.stream.events import Kind
from merau.stream.service.events import CameraEvent

MAX_WAITING = 1000  # events that a listener may leave unread


class Listener:
    """One who listens: events wait here until they are read, in the event loop that the listener runs in.

    Attributes:
        overflowed: Whether too many waited; then some are missing.
    """

    def __init__(self) -> None:
        self.overflowed = False
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[CameraEvent] = asyncio.Queue(MAX_WAITING)

    def put(self, event: CameraEvent) -> None:
        """Take an event, from any thread."""
        self._loop.call_soon_threadsafe(self._put, event)

    async def get(self) -> CameraEvent:
        """Wait for the next event."""
        return await self._waiting.get()

    def _put(self, event: CameraEvent) -> None:
        if self._waiting.full():
            self.overflowed = True
        else:
            self._waiting.put_nowait(event)


class EventFeed:
    """All who listen, and counts of what there was to hear. May be used from any thread."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._counts: Counter[tuple[str, Kind]] = Counter()
        self._lock = threading.Lock()

    def put(self, event: CameraEvent) -> None:
        """Pass a report of an event on."""
        with self._lock:
            if event.event.final:
                self._counts[event.camera, event.event.kind] += 1
            for listener in self._listeners:
                listener.put(event)

    def counts(self) -> dict[tuple[str, Kind], int]:
        """Return how many events became final since the start, by camera and kind."""
        with self._lock:
            return dict(self._counts)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        """Listen until the end of a `with` block."""
        listener = Listener()
        with self._lock:
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)
