"""What all sources share: the frame, the settings, the state, the queue, the clock and the decoding thread."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, Self, cast

import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from merau.engine.errors import UserError

Phase = Literal["connecting", "live", "lost", "ended"]

GAPS_KEPT = 1000


@dataclass(frozen=True)
class Frame:
    """One decoded picture.

    image: (H, W, 3) uint8 BGR, contiguous, upright, square pixels.
    t_s: seconds since the source's first frame, strictly increasing.
    index: counts every decoded frame from 0, dropped ones too.
    arrived_s: time.monotonic() when it was decoded.
    """

    image: np.ndarray
    t_s: float
    index: int
    arrived_s: float


@dataclass(frozen=True)
class SourceState:
    """How a source fares. gaps are (from_s, to_s) on the source's own clock, the newest 1000 of them."""

    phase: Phase
    since: datetime
    reason: str
    frames: int
    dropped: int
    reconnects: int
    gaps: tuple[tuple[float, float], ...]
    decoder: str = ""  # where pictures are decoded, if it was asked to be the GPU


@dataclass(frozen=True)
class SourceSettings:
    """How sources are opened and kept.

    queue_frames: frames of a camera that may wait for the analysis before the oldest is dropped.
    paced: play a file at its own pace instead of at full speed; the frames are the same.
    wait_for_camera: keep trying when the very first connection finds nobody at home (refused, no answer) instead of
        raising.
    give_up_after_s: end the iteration once a camera was lost this long; None never gives up.
    camera_*: what a webcam is asked for.
    decode: "cuda" lets the GPU decode files and RTSP cameras where it can; the state says whether it does.
    """

    queue_frames: int = 32
    paced: bool = False
    transport: Literal["tcp", "udp"] = "tcp"
    connect_timeout_s: float = 5.0
    freeze_timeout_s: float = 3.0
    backoff_first_s: float = 0.25
    backoff_limit_s: float = 2.0
    wait_for_camera: bool = False
    give_up_after_s: float | None = None
    camera_width_px: int = 640
    camera_height_px: int = 480
    camera_rate_hz: float = 30.0
    decode: Literal["cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        if self.transport not in ("tcp", "udp"):
            raise UserError(f"transport is '{self.transport}', but must be 'tcp' or 'udp'.")
        if self.decode not in ("cpu", "cuda"):
            raise UserError(f"decode is '{self.decode}', but must be 'cpu' or 'cuda'.")
        for name in ("queue_frames", "camera_width_px", "camera_height_px"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        for name in ("connect_timeout_s", "freeze_timeout_s", "backoff_first_s", "camera_rate_hz", "give_up_after_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name} is {value}, but must be greater than 0.")
        if self.backoff_limit_s < self.backoff_first_s:
            raise UserError(f"backoff_limit_s is {self.backoff_limit_s}, but must not be under backoff_first_s.")


DEFAULTS = SourceSettings()


class FrameQueue:
    """Frames on their way from the decoding thread to the analysis."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: deque[Frame] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> None:
        """Waits for room; a closed queue swallows the frame."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._frames) < self._limit)
            self._append(frame)

    def put_now(self, frame: Frame) -> int:
        """Makes room by dropping the oldest frame; returns how many were dropped, 0 or 1."""
        with self._changed:
            dropped = len(self._frames) == self._limit
            if dropped:
                self._frames.popleft()
            self._append(frame)
            return int(dropped)

    def _append(self, frame: Frame) -> None:
        if not self._closed:
            self._frames.append(frame)
            self._changed.notify_all()

    def get(self) -> Frame | None:
        """Waits for a frame; None when the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._frames)
            if not self._frames:
                return None
            self._changed.notify_all()
            return self._frames.popleft()

    def wait_for_first(self) -> None:
        """Waits until there is a frame or there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._frames)

    def close(self, *, discard: bool = False) -> None:
        """No more frames come; discard throws the waiting ones away."""
        with self._changed:
            self._closed = True
            if discard:
                self._frames.clear()
            self._changed.notify_all()


class Clock:
    """Lays a stream's own times on one axis that starts at 0 and only grows, whatever the stream's clock does."""

    def __init__(self) -> None:
        self.t_s: float | None = None
        self.zero_s: float | None = None  # the stream's time at 0 s

    def restart(self) -> None:
        """The next time comes from another clock: a new connection."""
        self.zero_s = None

    def place(self, stream_s: float | None, expected_s: float, latest_s: float) -> float:
        """Seconds on the axis for a frame with the stream's time stream_s, None where it carries none.

        A frame that would lie before the last one or after latest_s shows a clock that was set; it is put at
        expected_s, as is one without a time, and the stream's clock goes on from there.
        """
        if self.t_s is not None:
            expected_s = max(expected_s, self.t_s + 0.001)
        t_s = None if stream_s is None or self.zero_s is None else stream_s - self.zero_s
        if t_s is None or t_s > latest_s or (self.t_s is not None and t_s <= self.t_s):
            t_s = expected_s
            self.zero_s = self.zero_s if stream_s is None else stream_s - expected_s
        self.t_s = t_s
        return t_s


class Source(ABC):
    """What all sources share: the decoding thread, the queue, the state. Iterate it once, best inside `with`."""

    live: bool
    duration_s: float | None = None
    frames_total: int | None = None

    def __init__(self, name: str, settings: SourceSettings, queue_frames: int) -> None:
        self.name = name
        self.settings = settings
        self.wall_zero: datetime | None = None
        self._queue = FrameQueue(queue_frames)
        self._clock = Clock()
        self._stopped = threading.Event()
        self._converter = VideoReformatter()
        self._thread = threading.Thread(target=self._decode_all, name=f"decode {name}", daemon=True)
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._frames = self._dropped = self._reconnects = 0
        self._gaps: deque[tuple[float, float]] = deque(maxlen=GAPS_KEPT)
        self._phase: Phase = "connecting"
        self._since = datetime.now(UTC)
        self._reason = ""
        self._decoder = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self._phase}>"

    def __enter__(self) -> Self:
        """Starts decoding and waits for the first frame.

        Raises UserError when there will be none. With settings.wait_for_camera it does not wait: iterating does.
        """
        self._start()
        if not (self.live and self.settings.wait_for_camera):
            self._queue.wait_for_first()
            if self._error:
                raise self._error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(timeout=1.0)  # a silent camera holds its thread until the time-out: nobody need wait

    def __iter__(self) -> Iterator[Frame]:
        self._start()
        while (frame := self._queue.get()) is not None:
            yield frame
        if self._error:
            raise self._error

    def state(self) -> SourceState:
        """How the source fares now; to be asked from any thread, at any time."""
        with self._lock:
            return SourceState(
                phase=self._phase,
                since=self._since,
                reason=self._reason,
                frames=self._frames,
                dropped=self._dropped,
                reconnects=self._reconnects,
                gaps=tuple(self._gaps),
                decoder=self._decoder,
            )

    def stop(self) -> None:
        """Ends the iteration at once, from any thread; frames that still wait are thrown away."""
        self._stopped.set()
        self._enter("ended", "stopped")
        self._queue.close(discard=True)

    def _start(self) -> None:
        with self._lock:
            if self._thread.ident is None and not self._stopped.is_set():
                self._thread.start()

    def _enter(self, phase: Phase, reason: str = "") -> None:
        """Notes the phase; `since` stays while only the reason changes, and the end is final."""
        with self._lock:
            if self._phase == "ended":
                return
            if phase != self._phase:
                self._since = datetime.now(UTC)
            self._phase, self._reason = phase, reason

    def _decode_all(self) -> None:
        try:
            reason = self._run()
        except Exception as error:
            self._error, reason = error, str(error)
        self._enter("ended", reason)
        self._queue.close()

    @abstractmethod
    def _run(self) -> str:
        """Decodes until the end or until stopped; returns why it ended. Raises UserError when no frame ever came."""


def time_of(picture: VideoFrame) -> float | None:
    return None if picture.pts is None or picture.time_base is None else float(picture.pts * picture.time_base)


def bgr(picture: VideoFrame, converter: VideoReformatter, *, width: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 BGR. Keep one `converter` for a stream: it takes time to make."""
    return converter.reformat(picture, width or picture.width, picture.height, "bgr24", threads=1).to_ndarray()


def upright(picture: VideoFrame, stream: VideoStream, converter: VideoReformatter) -> np.ndarray:
    """(H, W, 3) uint8 BGR with the pixels made square and the display matrix (rotation, mirror) applied."""
    aspect = stream.sample_aspect_ratio
    image = bgr(picture, converter, width=round(picture.width * aspect) if aspect else 0)
    # Not picture.side_data: it and the picture would hold each other until Python looks for cycles.
    side_data = SideDataContainer(picture)  # type: ignore[call-arg]  # av's stub leaves it out
    if "DISPLAYMATRIX" in side_data:
        (a, b), (c, d) = np.frombuffer(bytes(cast(Buffer, side_data["DISPLAYMATRIX"])), np.int32).reshape(3, 3)[:2, :2]
        if abs(b) > abs(a):
            image, a, d = image.transpose(1, 0, 2), c, b
        image = image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(image)
