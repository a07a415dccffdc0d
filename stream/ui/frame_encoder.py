"""Encodes a camera's frames beside its analysis: for the pages that show them, and for the clips of events."""

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
from merau.stream.guard import Guard
from merau.stream.pipeline import FrameResult
from merau.stream.sources import Frame
from merau.stream.ui import event_clip
from merau.stream.ui.event_clip import DEFAULT_CLIP, ClipSettings, StoredFrame
from merau.stream.ui.outbox import LiveFrame

REPORT_S = 2.0  # after an event's end, until its frames are selected
MAX_PENDING_FRAMES = 16  # results that may wait to be encoded
MAX_PENDING_CLIPS = 16  # that may wait to be encoded, some MB each
MAX_WIDTH_PX = 960  # of an image on a page
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 80]


@dataclass(frozen=True)
class EncoderOutputs:
    """Where an encoder's products go.

    Attributes:
        send_frame: Sends a frame to the pages.
        has_viewers: Whether any page shows the camera now.
        store_clip: Stores the MP4 of an event.
        clip_encoder: Runs the encoding of clips.
    """

    send_frame: Callable[[LiveFrame], None]
    has_viewers: Callable[[], bool]
    store_clip: Callable[[Event, bytes], None]
    clip_encoder: Executor


class FrameEncoder:
    """Takes every result of one camera and encodes it in a thread of its own.

    Args:
        camera: Number of the camera.
        outputs: Where frames and clips go.
        sends_images: False where the page has the camera's images itself.
        drops: Drop the oldest result when too many wait, and skip a clip when too many wait, so that a camera is never
            held up. False holds up the caller instead and loses nothing, for a recording.
        clip: What the clips show.
    """

    def __init__(
        self,
        camera: int,
        outputs: EncoderOutputs,
        *,
        sends_images: bool,
        drops: bool,
        clip: ClipSettings = DEFAULT_CLIP,
    ) -> None:
        self._camera, self._outputs, self._clip = camera, outputs, clip
        self._sends_images, self._drops = sends_images, drops
        self._results: queue.Queue[FrameResult | None] = queue.Queue(MAX_PENDING_FRAMES)
        self._frames: deque[StoredFrame] = deque()
        self._open_events: deque[Event] = deque()  # final events whose last frame has not come yet
        self._pending_clips: set[Future[None]] = set()
        self._thread = threading.Thread(target=self._run, name=f"frame encoder {camera}", daemon=True)
        self._thread.start()

    def push(self, result: FrameResult) -> None:
        """Queue a result, in order of time."""
        self._open_events.extend(event for event in result.events if event.final and event.embedding)
        while self._drops and self._results.full():
            with suppress(queue.Empty):
                self._results.get_nowait()
        self._results.put(result)

    def end(self) -> None:
        """Encode what waits, with the clips that are still open, and stop."""
        self._results.put(None)
        self._thread.join()

    def _run(self) -> None:
        guard = Guard(self._thread.name)
        while (result := self._results.get()) is not None:
            if result.frame is not None:
                with guard.item():
                    self._encode(result, result.frame)
                with guard.item():
                    self._submit_clips(result.frame.t_s)
        with guard.item():
            self._submit_clips(float("inf"))

    def _encode(self, result: FrameResult, frame: Frame) -> None:
        boxes = {face.track_id: _bounding_box(face.landmarks) for face in result.faces}
        if not boxes and not self._outputs.has_viewers():
            return
        jpeg = _encode_jpeg(frame.image) if boxes or self._sends_images else b""
        if boxes:
            self._store(StoredFrame(frame.t_s, jpeg, _scale(boxes, frame.image.shape[1])))
        self._outputs.send_frame(_live_frame(self._camera, result, frame, boxes, jpeg if self._sends_images else b""))

    def _store(self, frame: StoredFrame) -> None:
        self._frames.append(frame)
        while frame.t_s - self._frames[0].t_s > self._clip.longest_s + REPORT_S:
            self._frames.popleft()

    def _submit_clips(self, now_s: float) -> None:
        """Submit the clips whose last frame has come."""
        for _ in range(len(self._open_events)):
            event = self._open_events.popleft()
            if self._clip.bounds_s(event.onset_s, event.offset_s)[1] <= now_s:
                self._submit_clip(event)
            else:
                self._open_events.append(event)

    def _submit_clip(self, event: Event) -> None:
        self._pending_clips = {clip for clip in self._pending_clips if not clip.done()}
        if len(self._pending_clips) >= MAX_PENDING_CLIPS:
            if self._drops:
                logging.getLogger(__name__).warning("The machine is busy: no clip is kept of an event.")
                return
            wait(self._pending_clips, return_when=FIRST_COMPLETED)
        frames = event_clip.frames_of(self._frames, event, self._clip)
        clip = self._outputs.clip_encoder.submit(self._encode_clip, event, frames)
        clip.add_done_callback(_log_failure)
        self._pending_clips.add(clip)

    def _encode_clip(self, event: Event, frames: list[StoredFrame]) -> None:
        if mp4 := event_clip.encode(frames, event.track):
            self._outputs.store_clip(event, mp4)


def _log_failure(clip: "Future[None]") -> None:
    if error := clip.exception():
        logging.getLogger(__name__).error("A clip could not be encoded.", exc_info=error)


def _live_frame(camera: int, result: FrameResult, frame: Frame, boxes: dict[int, Any], jpeg: bytes) -> LiveFrame:
    """Collect what a page draws of one frame: positions in frame px, motion in crop px."""
    height, width = frame.image.shape[:2]
    faces = [
        {
            "track": face.track_id,
            "box": [round(value) for value in boxes[face.track_id]],
            "quality": round(face.quality.score, 2),
            "reason": face.quality.reason or "",
            "motion": round(result.motion.get(face.track_id, 0.0), 3),
            "noise": round(result.noise.get(face.track_id, 0.0), 3),
            "state": result.state.get(face.track_id, "away"),
        }
        for face in result.faces
    ]
    header = {
        "t_s": round(frame.t_s, 4),
        "size": [width, height],
        "faces": faces,
        "delay_ms": round(1000 * (time.monotonic() - frame.arrived_s), 1),
    }
    t_s = round(frame.t_s, 3)
    points = tuple((t_s, track, round(px, 3), round(result.noise[track], 3)) for track, px in result.motion.items())
    mesh = b"".join(face.landmarks[:, :2].round().astype("<i2").tobytes() for face in result.faces)
    return LiveFrame(camera, header, points, mesh, jpeg)


def _bounding_box(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = landmarks[:, :2].min(axis=0).tolist(), landmarks[:, :2].max(axis=0).tolist()
    return x0, y0, x1, y1


def _scale(boxes: dict[int, Any], width: int) -> dict[int, Any]:
    """Scale boxes in a frame of this width to the image that is kept of it."""
    scale = min(1.0, MAX_WIDTH_PX / width)
    return {track: tuple(scale * value for value in box) for track, box in boxes.items()}


def _encode_jpeg(image: np.ndarray) -> bytes:
    height, width = image.shape[:2]
    if width > MAX_WIDTH_PX:
        image = cv2.resize(image, (MAX_WIDTH_PX, round(height * MAX_WIDTH_PX / width)), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", image, JPEG)[1])
