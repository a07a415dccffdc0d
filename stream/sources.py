"""Where frames come from: a file, an RTSP camera or a webcam, all read through PyAV in a thread of their own.

    with open_source("rtsp://user:password@192.168.0.7/stream1") as source:
        for frame in source:
            ...

A live source never waits for the analysis: its queue drops the oldest frame and counts it. A file always waits, so that
no frame is ever lost. A live source that is lost is connected again, for ever unless told otherwise; `state()` says at
any time how it fares. Every time is the frame's own, never computed from a nominal frame rate.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import UserError

Phase = Literal["connecting", "live", "lost", "ended"]

KEY_FRAME_WAIT_S = 15.0  # cameras send a key frame every 1 to 10 s, and nothing can be decoded before the first
CLOCK_JUMP_S = 5.0  # a camera's clock that runs this far ahead of ours in one step was set, not slow
CLOCK_TRUST_S = 10.0  # a camera whose wall clock is further than this from ours has no time server
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


@dataclass(frozen=True)
class SourceSettings:
    """queue_frames: frames that may wait for the analysis. paced: play a file at its own pace instead of at full speed.

    wait_for_camera: keep trying when the very first connection finds nobody at home (refused, no answer) instead of
    raising. give_up_after_s: end the iteration once a live source was lost this long; None never gives up.
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

    def __post_init__(self) -> None:
        if self.transport not in ("tcp", "udp"):
            raise UserError(f"transport is '{self.transport}', but must be 'tcp' or 'udp'.")
        for name in ("queue_frames", "camera_width_px", "camera_height_px"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        for name in ("connect_timeout_s", "freeze_timeout_s", "backoff_first_s", "camera_rate_hz", "give_up_after_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name} is {value}, but must be greater than 0.")
        if self.backoff_limit_s < self.backoff_first_s:
            raise UserError(
                f"backoff_limit_s is {self.backoff_limit_s}, but must be at least backoff_first_s, {self.backoff_first_s}."
            )


def open_source(spec: str, settings: SourceSettings = SourceSettings()) -> File:
    """A source by what the user typed: a path, rtsp://..., a camera's number or /dev/videoN.

    A file is opened here; a camera is connected when the source is entered (`with`) or first iterated.
    Raises UserError when the text names no source, or the file cannot be read as a video.
    """
    spec = os.fspath(spec).strip()
    if "://" in spec or not spec:
        raise UserError(
            f"'{redact(spec)}' is no source: give a video file, rtsp://HOST/PATH, a camera's number or /dev/videoN."
        )
    return File(spec, settings)


def redact(url: str) -> str:
    """The URL without user name and password, fit for a screen, a log and a store.

    Passwords may hold any character, '@' and '/' too, so everything up to the last '@' goes; so do secrets in a query.
    """
    scheme, slashes, rest = url.partition("://")
    if re.match(r"[^/]*[:@]", rest):
        rest = rest.rpartition("@")[2]
    return re.sub(r"(?i)((?:pass|pwd|token|secret|key|auth)\w*=)[^&;\s]*", r"\1***", scheme + slashes + rest)


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
        self._zero_s: float | None = None

    def restart(self) -> None:
        """The next time comes from another clock: a new connection."""
        self._zero_s = None

    def place(self, stream_s: float | None, expected_step_s: float, longest_step_s: float) -> float:
        """Seconds on the axis for a frame with the stream's time stream_s, None where it carries none.

        A step backwards or longer than longest_step_s is a clock that was set: the frame is then expected_step_s later
        than the one before, and the clock goes on from there.
        """
        expected_s = 0.0 if self.t_s is None else self.t_s + expected_step_s
        if stream_s is None:
            self.t_s = expected_s
            return self.t_s
        if self._zero_s is None:
            self._zero_s = stream_s - expected_s
        elif self.t_s is not None and not 0 < stream_s - self._zero_s - self.t_s <= longest_step_s:
            self._zero_s = stream_s - expected_s
        self.t_s = stream_s - self._zero_s
        return self.t_s


class Source:
    """What all sources share: the decoding thread, the queue, the state. Iterate it once, best inside `with`."""

    live: bool
    duration_s: float | None = None
    frames_total: int | None = None

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self.name = name
        self.settings = settings
        self.wall_zero: datetime | None = None
        self._queue = FrameQueue(settings.queue_frames)
        self._clock = Clock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._decode_all, name=f"decode {name}", daemon=True)
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._frames = self._dropped = self._reconnects = 0
        self._gaps: deque[tuple[float, float]] = deque(maxlen=GAPS_KEPT)
        self._phase: Phase = "connecting"
        self._since = datetime.now(UTC)
        self._reason = ""

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

    def _run(self) -> str:
        """Decodes until the end or until stopped; returns why it ended. Raises UserError when no frame ever came."""
        raise NotImplementedError


class File(Source):
    """A recording: every frame that can be decoded, none dropped, whatever its codec, rotation and rate.

    A damaged or cut-off file gives what can be decoded; `state().reason` then says so.
    """

    live = False

    def __init__(self, path: str, settings: SourceSettings = SourceSettings()) -> None:
        super().__init__(path, settings)
        self._container, self._stream = _open_file(path)
        stream = self._stream
        if stream.duration and stream.time_base:
            self.duration_s = float(stream.duration * stream.time_base)
        elif self._container.duration:
            self.duration_s = self._container.duration / av.time_base
        rate = stream.average_rate
        self._spacing_s = 1 / float(rate) if rate else 0.04
        self.frames_total = stream.frames or (round(self.duration_s / self._spacing_s) if self.duration_s else None)
        self.wall_zero = _creation_time(self._container.metadata | stream.metadata)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        if not self._thread.is_alive():
            self._container.close()

    def _run(self) -> str:
        damages = 0
        started_s = time.monotonic()
        for picture in _decoded(self._container, self._stream):
            if self._stopped.is_set():
                return "stopped"
            if picture is None:
                damages += 1
                continue
            t_s = self._clock.place(_time_of(picture), self._spacing_s, float("inf"))
            image = _upright(picture, self._stream)
            if self.settings.paced:
                self._stopped.wait(max(0.0, started_s + t_s - time.monotonic()))
            self._enter("live")
            self._queue.put(Frame(image, t_s, self._frames, time.monotonic()))
            with self._lock:
                self._frames += 1
        return self._verdict(damages)

    def _verdict(self, damages: int) -> str:
        if not self._frames:
            raise UserError(f"'{self.name}' holds no frame that can be decoded.")
        read_s = (self._clock.t_s or 0.0) + self._spacing_s
        if self.duration_s and read_s < self.duration_s - max(0.5, 2 * self._spacing_s):
            return f"'{self.name}' is cut off: {read_s:.2f} of {self.duration_s:.2f} s could be decoded."
        if damages:
            return f"'{self.name}' is damaged: {damages} places could not be decoded."
        return "end of file"


def _open_file(path: str) -> tuple[InputContainer, VideoStream]:
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISDIR(mode):
            Path(path).open("rb").close()
    except FileNotFoundError:
        problem = f"There is no file '{path}'."
    except PermissionError:
        problem = f"'{path}' may not be read: permission denied."
    except OSError as error:
        problem = f"'{path}' cannot be read: {error.strerror}."
    else:
        if stat.S_ISDIR(mode):
            raise UserError(f"'{path}' is a directory: give a video file.")
        return _open_video(path)
    raise UserError(problem)


def _open_video(path: str) -> tuple[InputContainer, VideoStream]:
    try:
        # 'file:' so that a colon in a name means no protocol, and a playlist inside reaches no network.
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError):
        raise UserError(f"'{path}' is not a video that can be read, or it is damaged.") from None
    videos = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    if not videos or container.format.name.endswith("_pipe") or container.format.name == "image2":
        container.close()
        raise UserError(f"'{path}' is not a video: it holds {'a single picture' if videos else 'no video stream'}.")
    videos[0].thread_type = "AUTO"
    return container, videos[0]


def _creation_time(tags: dict[str, str]) -> datetime | None:
    try:
        created = datetime.fromisoformat(tags["creation_time"])
    except (KeyError, ValueError):
        return None
    if created.year < 1980:  # an unset tag reads as 1904 or 1970
        return None
    return created.astimezone(UTC) if created.tzinfo else created.replace(tzinfo=UTC)


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame | None]:
    """Every frame of the stream in order of display; None for each place that cannot be decoded."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # the file ends in the middle of a packet
            yield None
            packet = None
        try:
            yield from packet.decode() if packet else stream.codec_context.decode(None)
        except av.EOFError:
            return
        except av.FFmpegError:
            yield None
        if packet is None:
            return


def _time_of(picture: VideoFrame) -> float | None:
    return None if picture.pts is None or picture.time_base is None else float(picture.pts * picture.time_base)


def _upright(picture: VideoFrame, stream: VideoStream) -> np.ndarray:
    """(H, W, 3) uint8 BGR with the pixels made square and the display matrix (rotation, mirror) applied."""
    aspect = stream.sample_aspect_ratio
    width = round(picture.width * aspect) if aspect else picture.width
    image = picture.to_ndarray(format="bgr24", width=width, height=picture.height)
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        (a, b), (c, d) = np.frombuffer(matrix, np.int32).reshape(3, 3)[:2, :2]
        if abs(b) > abs(a):
            image, a, d = image.transpose(1, 0, 2), c, b
        image = image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(image)
