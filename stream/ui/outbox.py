"""What waits to be sent to one open page: at most two pictures a camera, and every word.

A page that is slow loses pictures, oldest first, and never holds up the analysis; the motion measured on a lost picture
travels with the next one, so that the chart has no holes.
"""

import asyncio
import json
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from merau.stream.ui.i18n import to_json

SLOTS = 2
NOTES = 200


@dataclass(frozen=True)
class LiveFrame:
    """One analysed frame as a page shows it.

    header: what is drawn, see stream.ui.film. points: (t_s, track, motion px, noise px) each, for the chart.
    mesh: (N, 468, 2) int16 as bytes, frame px. jpeg: empty where the page has the picture itself.
    """

    camera: int
    header: dict[str, Any]
    points: tuple[tuple[float, int, float, float], ...]
    mesh: bytes
    jpeg: bytes

    def packed(self, *, with_mesh: bool) -> bytes:
        """uint32 length of the JSON, the JSON, the mesh, the JPEG."""
        mesh = self.mesh if with_mesh else b""
        header = self.header | {"camera": self.camera, "points": self.points, "mesh": len(mesh)}
        text = json.dumps(header, separators=(",", ":"), default=to_json).encode()
        return len(text).to_bytes(4, "little") + text + mesh + self.jpeg


class ClientOutbox:
    """Filled from any thread, emptied by the page's socket. `shows_mesh` is what the page asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.shows_mesh = False
        self._loop = loop
        self._lock = threading.Lock()
        self._shots: dict[int, deque[LiveFrame]] = {}
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._filled = asyncio.Event()

    def put_frame(self, shot: LiveFrame) -> None:
        with self._lock:
            waiting = self._shots.setdefault(shot.camera, deque())
            waiting.append(shot)
            if len(waiting) > SLOTS:
                lost = waiting.popleft()
                waiting[0] = replace(waiting[0], points=lost.points + waiting[0].points)
        self._wake()

    def put_message(self, word: dict[str, Any]) -> None:
        """Something to be told: nothing of it is lost while the page is there."""
        with self._lock:
            self._notes.append(json.dumps(word, default=to_json))
        self._wake()

    async def drain(self) -> list[str | bytes]:
        """Waits; the words first, then one picture of each camera."""
        await self._filled.wait()
        with self._lock:
            words: list[str | bytes] = list(self._notes)
            self._notes.clear()
            shots = [waiting.popleft() for waiting in self._shots.values() if waiting]
            if not any(self._shots.values()):
                self._shots.clear()
                self._filled.clear()
        return words + [shot.packed(with_mesh=self.shows_mesh) for shot in shots]

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._filled.set)
