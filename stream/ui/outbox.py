"""Outgoing frames and messages of one open page.

A slow page loses frames, oldest first, and never holds up the analysis; the motion measured on a lost frame travels
with the next one, so that the chart has no holes. Messages are never skipped: a page that leaves too many of them
unread is disconnected, and gets the present state when it connects again.
"""

import asyncio
import json
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from merau.stream.ui.message_json import to_json

MAX_FRAMES = 2  # waiting, for each camera
MAX_MESSAGES = 200  # waiting; about a minute and a half of status messages from two workspaces


@dataclass(frozen=True)
class LiveFrame:
    """One analysed frame as a page shows it.

    Attributes:
        camera: Number of the camera.
        header: What is drawn, see `merau.stream.ui.frame_encoder`.
        points: (t_s, track, motion px, noise px) each, for the chart.
        mesh: (N, 468, 2) int16 as bytes, frame px.
        jpeg: Empty where the page has the image itself.
    """

    camera: int
    header: dict[str, Any]
    points: tuple[tuple[float, int, float, float], ...]
    mesh: bytes
    jpeg: bytes

    def pack(self, *, with_mesh: bool) -> bytes:
        """Encode as a binary message: uint32 length of the JSON, the JSON, the mesh, the JPEG."""
        mesh = self.mesh if with_mesh else b""
        header = self.header | {"camera": self.camera, "points": self.points, "mesh": len(mesh)}
        text = json.dumps(header, separators=(",", ":"), default=to_json).encode()
        return len(text).to_bytes(4, "little") + text + mesh + self.jpeg


class OutboxOverflow(Exception):
    """The page has left more than `MAX_MESSAGES` messages unread and must be disconnected."""


class ClientOutbox:
    """Frames and messages that wait for one page: filled from any thread, drained by the page's connection.

    Attributes:
        sends_mesh: Whether the page wants the mesh of each face.
        overflowed: Set when too many messages wait. What waited is dropped then, and nothing more is taken.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sends_mesh = False
        self.overflowed = asyncio.Event()
        self._loop = loop
        self._lock = threading.Lock()
        self._frames: dict[int, deque[LiveFrame]] = {}
        self._messages: list[str] = []
        self._is_full = False
        self._filled = asyncio.Event()

    def put_frame(self, frame: LiveFrame) -> None:
        """Queue a frame; the oldest one of the same camera is dropped when `MAX_FRAMES` wait."""
        with self._lock:
            if self._is_full:
                return
            waiting = self._frames.setdefault(frame.camera, deque())
            waiting.append(frame)
            if len(waiting) > MAX_FRAMES:
                lost = waiting.popleft()
                waiting[0] = replace(waiting[0], points=lost.points + waiting[0].points)
        self._notify(self._filled)

    def put_message(self, message: dict[str, Any]) -> None:
        """Queue a JSON message. It is sent, unless the page is disconnected first."""
        with self._lock:
            self._is_full = self._is_full or len(self._messages) >= MAX_MESSAGES
            if self._is_full:
                self._messages.clear()
                self._frames.clear()
            else:
                self._messages.append(json.dumps(message, default=to_json))
            changed = self.overflowed if self._is_full else self._filled
        self._notify(changed)

    async def drain(self) -> list[str | bytes]:
        """Wait for something to send; returns all messages, then one frame of each camera.

        Raises:
            OutboxOverflow: Too many messages waited.
        """
        await self._filled.wait()
        with self._lock:
            if self._is_full:
                raise OutboxOverflow
            messages: list[str | bytes] = list(self._messages)
            self._messages.clear()
            frames = [waiting.popleft() for waiting in self._frames.values() if waiting]
            if not any(self._frames.values()):
                self._frames.clear()
                self._filled.clear()
        return messages + [frame.pack(with_mesh=self.sends_mesh) for frame in frames]

    def _notify(self, event: asyncio.Event) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(event.set)
