"""Sends the frames and messages of one workspace to every page that shows it."""

import threading
from typing import Any

from merau.stream.ui.outbox import ClientOutbox, LiveFrame


class Broadcast:
    """The viewers of one workspace. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._viewers: set[ClientOutbox] = set()
        self._lock = threading.Lock()

    @property
    def has_viewers(self) -> bool:
        """Whether any page shows the workspace now."""
        return bool(self._viewers)

    def add(self, viewer: ClientOutbox) -> None:
        """Send everything to this page, too, from now on."""
        with self._lock:
            self._viewers.add(viewer)

    def discard(self, viewer: ClientOutbox) -> None:
        """Send nothing more to this page."""
        with self._lock:
            self._viewers.discard(viewer)

    def send_message(self, message: dict[str, Any]) -> None:
        """Queue a JSON message for every viewer."""
        for viewer in self._snapshot():
            viewer.put_message(message)

    def send_frame(self, frame: LiveFrame) -> None:
        """Queue a frame for every viewer."""
        for viewer in self._snapshot():
            viewer.put_frame(frame)

    def _snapshot(self) -> list[ClientOutbox]:
        with self._lock:
            return list(self._viewers)
