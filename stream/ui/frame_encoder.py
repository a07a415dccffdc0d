"""A camera's pictures beside its analysis: shown to whoever looks, and kept for some seconds for films of events."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from merau.stream.events import Event
from merau.stream.pipeline import FrameResult
from merau.stream.sources import Frame
from merau.stream.ui import event_clip as clip
from merau.stream.ui.outbox import LiveFrame

KEPT_S = clip.LONGEST_S + 2.0  # of stills
MAX_PENDING_FRAMES = 16  # updates that may wait to be coded; older ones are neither shown nor filmed
MAX_PENDING_CLIPS = 16  # films that may wait to be cut, some MB each; further ones are left out
WIDEST_PX = 960  # of a picture that is shown
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 80]


@dataclass(frozen=True)
class EncoderOutputs:
    """Where a film's products go."""

    show: Callable[[LiveFrame], None]
    looked_at: Callable[[], bool]  # whether anybody looks now
    keep: Callable[[Event, bytes], None]  # a film of an event
    cutter: Executor


class FrameEncoder:
    """Takes every update of one camera; coding runs in a thread of its own.

    It never holds a camera up: when it is late, the oldest update is neither shown nor filmed, and when too many films
    wait, the next is left out. With `waits`, for a recording, it loses none and holds up instead. `sends_pictures` is
    False where the page has the pictures itself.
    """

    def __init__(self, camera: int, outputs: EncoderOutputs, *, sends_pictures: bool, waits: bool) -> None:
        self._camera, self._outputs = camera, outputs
        self._sends_pictures, self._waits = sends_pictures, waits
        self._updates: queue.Queue[FrameResult | None] = queue.Queue(MAX_PENDING_FRAMES)
        self._stills: deque[clip.StoredFrame] = deque()
        self._finals: deque[Event] = deque()  # events whose film is not whole yet
        self._uncut: set[Future[None]] = set()
        self._thread = threading.Thread(target=self._run, name=f"film {camera}", daemon=True)
        self._thread.start()

    def push(self, update: FrameResult) -> None:
        """Take up an update, in order of time."""
        self._finals.extend(event for event in update.events if event.final and event.embedding)
        while not self._waits and self._updates.full():
            with suppress(queue.Empty):
                self._updates.get_nowait()
        self._updates.put(update)

    def end(self) -> None:
        """Code what waits, cut what is open, and stop."""
        self._updates.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (update := self._updates.get()) is not None:
            if update.frame is not None:
                self._take(update, update.frame)
                self._cut(update.frame.t_s)
        self._cut(float("inf"))

    def _take(self, update: FrameResult, frame: Frame) -> None:
        boxes = {face.track_id: _box(face.landmarks) for face in update.faces}
        if not boxes and not self._outputs.looked_at():
            return
        jpeg = _jpeg(frame.image) if boxes or self._sends_pictures else b""
        if boxes:
            self._keep(clip.StoredFrame(frame.t_s, jpeg, _scaled(boxes, frame.image.shape[1])))
        self._outputs.show(_live_frame(self._camera, update, frame, boxes, jpeg if self._sends_pictures else b""))

    def _keep(self, still: clip.StoredFrame) -> None:
        self._stills.append(still)
        while still.t_s - self._stills[0].t_s > KEPT_S:
            self._stills.popleft()

    def _cut(self, now_s: float) -> None:
        """Hand on the films whose last frame has come."""
        for _ in range(len(self._finals)):
            event = self._finals.popleft()
            if clip.bounds_s(event)[1] <= now_s:
                self._hand_on(event)
            else:
                self._finals.append(event)

    def _hand_on(self, event: Event) -> None:
        self._uncut = {film for film in self._uncut if not film.done()}
        if len(self._uncut) >= MAX_PENDING_CLIPS and not self._waits:
            logging.getLogger(__name__).warning("The machine is busy: an event goes without its film.")
            return
        if len(self._uncut) >= MAX_PENDING_CLIPS:
            wait(self._uncut, return_when=FIRST_COMPLETED)
        film = self._outputs.cutter.submit(self._make, event, clip.frames_of(self._stills, event))
        film.add_done_callback(_report)
        self._uncut.add(film)

    def _make(self, event: Event, stills: list[clip.StoredFrame]) -> None:
        if mp4 := clip.encode(stills, event):
            self._outputs.keep(event, mp4)


def _report(done: "Future[None]") -> None:
    if error := done.exception():
        logging.getLogger(__name__).error("A film could not be cut.", exc_info=error)


def _live_frame(camera: int, update: FrameResult, frame: Frame, boxes: dict[int, Any], jpeg: bytes) -> LiveFrame:
    """What the page draws of one frame; its positions are frame px, its motion crop px."""
    height, width = frame.image.shape[:2]
    faces = [
        {
            "track": face.track_id,
            "box": [round(value) for value in boxes[face.track_id]],
            "quality": round(face.quality.score, 2),
            "reason": face.quality.reason or "",
            "motion": round(update.motion.get(face.track_id, 0.0), 3),
            "noise": round(update.noise.get(face.track_id, 0.0), 3),
            "state": update.state.get(face.track_id, "away"),
        }
        for face in update.faces
    ]
    header = {
        "t_s": round(frame.t_s, 4),
        "size": [width, height],
        "faces": faces,
        "delay_ms": round(1000 * (time.monotonic() - frame.arrived_s), 1),
    }
    t_s = round(frame.t_s, 3)
    points = tuple((t_s, id, round(px, 3), round(update.noise[id], 3)) for id, px in update.motion.items())
    mesh = b"".join(face.landmarks[:, :2].round().astype("<i2").tobytes() for face in update.faces)
    return LiveFrame(camera, header, points, mesh, jpeg)


def _box(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = landmarks[:, :2].min(axis=0).tolist(), landmarks[:, :2].max(axis=0).tolist()
    return x0, y0, x1, y1


def _scaled(boxes: dict[int, Any], width: int) -> dict[int, Any]:
    scale = min(1.0, WIDEST_PX / width)
    return {track: tuple(scale * value for value in box) for track, box in boxes.items()}


def _jpeg(image: np.ndarray) -> bytes:
    height, width = image.shape[:2]
    if width > WIDEST_PX:
        image = cv2.resize(image, (WIDEST_PX, round(height * WIDEST_PX / width)), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, JPEG)[1].tobytes()
