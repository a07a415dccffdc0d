"""The parts that all sources share: frame, settings, state, queue, clock and decoding thread."""

from __future__ import annotations

import math
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

from merau.engine.errors import Message, UserError
from merau.engine.validation import check, check_choice, check_range
from merau.stream.guard import internal_error
from merau.stream.sources.coding import CodingMeter
from merau.stream.sources.colour import BT601, Luma, bgr
from merau.stream.sources.limits import MAX_PX, plausible_aspect

Phase = Literal["connecting", "live", "lost", "ended"]

MAX_GAPS = 1000  # the newest are kept
NUDGE_S = 0.001
MAX_NUDGES = 120  # in a row; more show a clock that stands still

END_OF_FILE = Message("end of file")
STOPPED = Message("stopped")


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        image: (H, W, 3) uint8 BGR, contiguous, upright, square pixels.
        t_s: Seconds on the source's clock, strictly increasing, from a camera's first frame or a recording's zero.
        index: Number of the decoded frame from 0; dropped frames count.
        arrived_s: `time.monotonic()` when it was decoded.
        luma: Weights of blue, green and red in the luma that it was coded by.
        coarse: The stream is coded so coarsely that single frames are noisier than the mean of several.
    """

    image: np.ndarray
    t_s: float
    index: int
    arrived_s: float
    luma: Luma = BT601
    coarse: bool = False


@dataclass(frozen=True)
class SourceState:
    """State of a source at one moment.

    Attributes:
        phase: connecting, live, lost or ended.
        since: Start of the phase.
        reason: Why the source is not live; None if there is no reason to give.
        frames: Decoded frames so far.
        dropped: Frames dropped because the analysis was late.
        reconnects: How often the camera was connected again.
        gaps: (from_s, to_s) on the source's clock, the newest 1000.
        decoder: Where frames are decoded; None if nobody asked for the GPU.
        notes: What is missing, odd or assumed about a recording.
    """

    phase: Phase
    since: datetime
    reason: Message | None
    frames: int
    dropped: int
    reconnects: int
    gaps: tuple[tuple[float, float], ...]
    decoder: Message | None = None
    notes: tuple[Message, ...] = ()


@dataclass(frozen=True)
class SourceSettings:
    """How sources are opened and kept open.

    Attributes:
        queue_frames: Frames of a camera that may wait for the analysis before the oldest is dropped.
        paced: Play a file at its own pace instead of at full speed; the frames are the same.
        transport: Transport of RTSP.
        connect_timeout_s: Longest wait for a connection.
        freeze_timeout_s: A camera that sends nothing for this long counts as lost.
        backoff_first_s: First pause before a camera is connected again.
        backoff_limit_s: Longest pause; each is twice the one before.
        wait_for_camera: Keep trying if the very first connection fails (refused, no answer), instead of raising.
        keep_trying: With `wait_for_camera`, keep trying even if the very first connection fails by what waiting seldom
            helps, such as a wrong password, instead of raising.
        give_up_after_s: End the iteration after a camera was lost for this long; None never gives up.
        camera_width_px: Width asked of a webcam.
        camera_height_px: Height asked of a webcam.
        camera_rate_hz: Frame rate asked of a webcam.
        decode: "cuda" decodes files and RTSP cameras on the GPU if it can; the state says whether it does.
        rate_hz: Frame rate of raw video, which has no times; None takes what its codec states.
        captured_rate_hz: Frames for each second before the camera, for a file that plays them slower or faster; None
            takes what the file's tags state.
    """

    queue_frames: int = 32
    paced: bool = False
    transport: Literal["tcp", "udp"] = "tcp"
    connect_timeout_s: float = 5.0
    freeze_timeout_s: float = 3.0
    backoff_first_s: float = 0.25
    backoff_limit_s: float = 2.0
    wait_for_camera: bool = False
    keep_trying: bool = False
    give_up_after_s: float | None = None
    camera_width_px: int = 640
    camera_height_px: int = 480
    camera_rate_hz: float = 30.0
    decode: Literal["cpu", "cuda"] = "cpu"
    rate_hz: float | None = None
    captured_rate_hz: float | None = None

    def __post_init__(self) -> None:
        check_choice(self, "transport", ("tcp", "udp"))
        check_choice(self, "decode", ("cpu", "cuda"))
        check_range(self, "queue_frames", "camera_width_px", "camera_height_px", low=1)
        check_range(self, "connect_timeout_s", "freeze_timeout_s", "backoff_first_s", above=0)
        check_range(self, "camera_rate_hz", "give_up_after_s", above=0)
        check_range(self, "rate_hz", "captured_rate_hz", low=0.01, high=100_000)
        check(self, "backoff_limit_s", self.backoff_limit_s >= self.backoff_first_s, "backoff_first_s or more")


DEFAULT_SETTINGS = SourceSettings()


class FrameQueue:
    """Queue of frames from the decoding thread to the analysis."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: deque[Frame] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> None:
        """Wait for room and append the frame; a closed queue drops it."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._frames) < self._limit)
            self._append(frame)

    def put_now(self, frame: Frame) -> int:
        """Append the frame at once; return 1 if the oldest was dropped to make room, else 0."""
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
        """Wait for the next frame; None after the queue was closed and emptied."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._frames)
            if not self._frames:
                return None
            self._changed.notify_all()
            return self._frames.popleft()

    def wait_for_first(self) -> None:
        """Wait until a frame is there, or the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._frames)

    def close(self, *, discard: bool = False) -> None:
        """Accept no more frames; `discard` drops the waiting ones, too."""
        with self._changed:
            self._closed = True
            if discard:
                self._frames.clear()
            self._changed.notify_all()


class Clock:
    """Map a stream's own times to an axis that starts at 0 and only grows, whatever the stream's clock does.

    Args:
        tolerance_s: After a smaller step back the clock goes on as before: the frame follows 1 ms after the last one.
            None takes each for a clock that was set.

    Attributes:
        t_s: Place of the last frame; None before the first.
        zero_s: The stream's time at 0 s; None if the next frame tells.
        nudged: Frames that were placed 1 ms after another.
    """

    def __init__(self, tolerance_s: float | None = None) -> None:
        self.t_s: float | None = None
        self.zero_s: float | None = None
        self.nudged = 0
        self._tolerance_s = tolerance_s
        self._standing = 0  # frames in a row that were nudged

    def restart(self) -> None:
        """Expect the next time from another clock, as after a new connection."""
        self.zero_s = None

    def place(self, stream_s: float | None, expected_s: float, latest_s: float) -> float:
        """Place a frame on the axis.

        A frame that would lie before the last one, or after `latest_s`, shows that the stream's clock was set. It is
        placed at `expected_s`, like a frame without a time, and the stream's clock goes on from there.

        Args:
            stream_s: The stream's time of the frame; None if it carries none.
            expected_s: Where to place it if its time cannot be used.
            latest_s: The latest plausible place.

        Returns:
            Seconds on the axis.
        """
        if self.t_s is not None:
            expected_s = max(expected_s, self.t_s + NUDGE_S)
        t_s = None if stream_s is None or self.zero_s is None else stream_s - self.zero_s
        if t_s is not None and self._is_nudge(t_s):
            t_s = (self.t_s or 0.0) + NUDGE_S
            self.nudged += 1
            self._standing += 1
        elif t_s is None or t_s > latest_s or t_s <= self._before_s:
            t_s = expected_s
            self.zero_s = self.zero_s if stream_s is None else stream_s - expected_s
        else:
            self._standing = 0
        self.t_s = t_s
        return t_s

    @property
    def _before_s(self) -> float:
        """The next frame must be later than this."""
        return -math.inf if self.t_s is None else self.t_s

    def _is_nudge(self, t_s: float) -> bool:
        """Whether a frame at `t_s` is to follow right after the last one; not if the clock stands still."""
        if self._tolerance_s is None or self._standing >= MAX_NUDGES:
            return False
        return self._before_s - self._tolerance_s <= t_s <= self._before_s


class Source(ABC):
    """A source of frames with its decoding thread, queue and state. Iterate it once, best inside `with`.

    Attributes:
        live: The source is a camera: it does not wait for the analysis.
        duration_s: Length of a recording, if known.
        frames_total: Number of frames of a recording, if known.
        wall_zero: Wall-clock time of 0 s, if known.
        slowdown: Seconds of the film for each second of captured time: 1, but for slow motion and time lapse.
    """

    live: bool
    duration_s: float | None = None
    frames_total: int | None = None
    slowdown: float = 1.0

    def __init__(self, name: str, settings: SourceSettings, queue_frames: int) -> None:
        self.name = name
        self.settings = settings
        self.wall_zero: datetime | None = None
        self._queue = FrameQueue(queue_frames)
        self._clock = Clock()
        self._stopped = threading.Event()
        self._converter = VideoReformatter()
        self._coding = CodingMeter()
        self._thread = threading.Thread(target=self._decode_all, name=f"decode {name}", daemon=True)
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._frames = self._dropped = self._reconnects = 0
        self._gaps: deque[tuple[float, float]] = deque(maxlen=MAX_GAPS)
        self._phase: Phase = "connecting"
        self._since = datetime.now(UTC)
        self._reason: Message | None = None
        self._decoder: Message | None = None
        self._notes: list[Message] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self._phase}>"

    def __enter__(self) -> Self:
        """Start decoding and wait for the first frame; with `wait_for_camera`, iterating waits instead.

        Raises:
            UserError: There will be no frame.
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
            self._thread.join(timeout=1.0)  # a silent camera holds its thread until the time-out

    def __iter__(self) -> Iterator[Frame]:
        self._start()
        while (frame := self._queue.get()) is not None:
            yield frame
        if self._error:
            raise self._error

    def state(self) -> SourceState:
        """Return the present state; safe from any thread, at any time."""
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
                notes=tuple(self._notes),
            )

    def stop(self) -> None:
        """End the iteration at once and drop the frames that wait; safe from any thread."""
        self._stopped.set()
        self._enter("ended", STOPPED)
        self._queue.close(discard=True)

    def _start(self) -> None:
        with self._lock:
            if self._thread.ident is None and not self._stopped.is_set():
                self._thread.start()

    def _note(self, template: str, **values: object) -> None:
        """Note something about the source; the template may use its {name}."""
        with self._lock:
            self._notes.append(Message(template, {"name": self.name, **values}))

    def _enter(self, phase: Phase, reason: Message | None = None) -> None:
        """Enter a phase; `since` stays while only the reason changes, and the end is final."""
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
            failure = error if isinstance(error, UserError) else internal_error(self.name, error)
            self._error, reason = failure, failure.message
        self._enter("ended", reason)
        self._queue.close()

    @abstractmethod
    def _run(self) -> Message:
        """Decode until the end or until stopped, and return why it ended.

        Raises:
            UserError: No frame ever came.
        """


def system_reason(error: Exception) -> Message:
    """Return what the system or FFmpeg says about an error, as a message of its own."""
    return Message(getattr(error, "strerror", None) or "unknown error")


def time_of(picture: VideoFrame) -> float | None:
    """Return the stream's time of a picture in seconds; None if it carries none."""
    return None if picture.pts is None or picture.time_base is None else float(picture.pts * picture.time_base)


def upright(picture: VideoFrame, stream: VideoStream, converter: VideoReformatter) -> np.ndarray:
    """Convert to (H, W, 3) uint8 BGR with square pixels and the display matrix (rotation, mirror) applied."""
    width = round(picture.width * plausible_aspect(stream.sample_aspect_ratio))
    image = bgr(picture, converter, width=width if width * picture.height <= MAX_PX else 0)
    # Not picture.side_data: it and the picture would hold each other until Python looks for cycles.
    side_data = SideDataContainer(picture)  # type: ignore[call-arg]  # av's stub leaves it out
    if "DISPLAYMATRIX" in side_data:
        (a, b), (c, d) = np.frombuffer(bytes(cast(Buffer, side_data["DISPLAYMATRIX"])), np.int32).reshape(3, 3)[:2, :2]
        if abs(b) > abs(a):
            image, a, d = image.transpose(1, 0, 2), c, b
        image = image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(image)
