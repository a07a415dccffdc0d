"""Cameras as sources, over RTSP or at this machine: connected again whenever they are lost."""

from __future__ import annotations

import errno
import os
import random
import re
import socket
import time
from abc import abstractmethod
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import av
import av.error
from av.codec.context import Flags as CodecFlags
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from merau.engine.errors import UserError
from merau.stream.sources.hwaccel import decoder, told
from merau.stream.sources.source import Frame, Source, SourceSettings, SourceState, time_of, upright

KEY_FRAME_WAIT_S = 15.0  # cameras send a key frame every 1 to 10 s, and nothing can be decoded before the first
CLOCK_JUMP_S = 5.0  # a camera's clock that runs this far ahead of ours in one step was set, not slow
CLOCK_TRUST_S = 10.0  # a camera whose wall clock is further than this from ours has no time server


class Failure(NamedTuple):
    """Why a camera could not be opened or was lost, as a sentence; a permanent one will not mend by waiting."""

    sentence: str
    permanent: bool = False


class Live(Source):
    """A camera. It is connected again whenever it is lost, and its oldest frame is dropped when the analysis is late.

    When the first connection fails, UserError is raised; a camera that merely does not answer is waited for with
    settings.wait_for_camera. Once a frame came, nothing but stop() or settings.give_up_after_s ends the iteration.

    wall_zero is the arrival of the first frame, and is set right once the camera has told its own time, some seconds
    after the start (RTSP only).
    """

    live = True

    def __init__(self, name: str, settings: SourceSettings) -> None:
        super().__init__(name, settings, settings.queue_frames)
        self._zero_arrived_s = self._arrived_s = time.monotonic()  # of the first and of the newest frame
        self._camera_told_time = False
        self._expected = ""  # of the decoder

    @abstractmethod
    def _connect(self) -> InputContainer:
        """Opens the camera. Raises av.FFmpegError or OSError."""

    @abstractmethod
    def _explain(self, error: Exception, took_s: float) -> Failure:
        """What _connect raised after took_s seconds, in words."""

    def state(self) -> SourceState:
        state = super().state()
        silent_s = time.monotonic() - self._arrived_s
        if state.phase == "live" and silent_s > self.settings.freeze_timeout_s:  # a webcam may hang without an error
            since = datetime.now(UTC) - timedelta(seconds=silent_s)
            return replace(state, phase="lost", since=since, reason=f"no frame for {silent_s:.0f} s")
        return state

    def _run(self) -> str:
        settings = self.settings
        delay_s = settings.backoff_first_s
        while True:
            frames_before, began_s = self._frames, time.monotonic()
            failure = self._attempt()
            if self._stopped.is_set():
                return "stopped"
            if not self._frames and (failure.permanent or not settings.wait_for_camera):
                raise UserError(failure.sentence)
            self._enter("lost" if self._frames else "connecting", failure.sentence)
            if settings.give_up_after_s and time.monotonic() - self._arrived_s >= settings.give_up_after_s:
                return f"gave up after {settings.give_up_after_s:g} s: {failure.sentence}"
            if self._frames > frames_before:
                delay_s = settings.backoff_first_s
            next_s = began_s + delay_s * random.uniform(0.5, 1.0)  # jitter: a rack of cameras is not called in step
            self._stopped.wait(max(0.0, next_s - time.monotonic()))
            delay_s = min(2 * delay_s, settings.backoff_limit_s)

    def _attempt(self) -> Failure:
        """One connection, from its beginning to its end."""
        started_s = time.monotonic()
        try:
            container = self._connect()
        except (av.FFmpegError, OSError) as error:
            return self._explain(error, time.monotonic() - started_s)
        with container:
            return self._receive(container)

    def _receive(self, container: InputContainer) -> Failure:
        if not container.streams.video:
            return Failure(f"{self.name} sends no video.", permanent=True)
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # threads hold frames back: twice the latency
        stream.codec_context.flags |= CodecFlags.low_delay
        frozen = Failure(f"{self.name} is frozen: nothing came for {self.settings.freeze_timeout_s:g} s.")
        received_s = decoded_s = time.monotonic()
        first = True
        self._clock.restart()
        try:
            for packet in container.demux(stream):
                waited_s, received_s = time.monotonic() - received_s, time.monotonic()
                if waited_s >= self.settings.freeze_timeout_s:
                    return frozen  # at the time-out FFmpeg first hands out a piece that it held back
                for picture in _decode_or_skip(packet):
                    decoded_s = time.monotonic()
                    self._decoder = told(stream.codec_context, self._expected)
                    if not first or picture.pts is not None:  # RTSP: the first of a connection carries no time
                        self._deliver(picture, stream, decoded_s)
                        self._set_wall_zero(container)
                    first = False
                if self._stopped.is_set():
                    return Failure("stopped")
                if time.monotonic() - decoded_s > KEY_FRAME_WAIT_S:
                    return Failure(f"{self.name} sends no picture that can be decoded.")
        except (TimeoutError, av.error.ExitError):
            return frozen
        except (av.FFmpegError, OSError) as error:
            return Failure(f"The connection to {self.name} broke: {error.strerror}.")
        return Failure(f"{self.name} ended the stream.")

    def _deliver(self, picture: VideoFrame, stream: VideoStream, arrived_s: float) -> None:
        before_s = self._clock.t_s
        if before_s is None:
            self._zero_arrived_s = arrived_s
        expected_s = arrived_s - self._zero_arrived_s
        t_s = self._clock.place(time_of(picture), expected_s, latest_s=max(expected_s, before_s or 0.0) + CLOCK_JUMP_S)
        self._arrived_s = arrived_s
        frame = Frame(upright(picture, stream, self._converter), t_s, self._frames, arrived_s)
        was_lost = self._phase == "lost"
        self._enter("live")
        with self._lock:
            if before_s is not None and was_lost:
                self._reconnects += 1
                self._gaps.append((before_s, t_s))
            self._frames += 1
            self._dropped += self._queue.put_now(frame)

    def _set_wall_zero(self, container: InputContainer) -> None:
        if self.wall_zero is None and self._frames:
            self.wall_zero = datetime.now(UTC)
        if self.wall_zero is None or self._camera_told_time or not container.start_time_realtime:
            return
        self._camera_told_time = True
        zero = datetime.fromtimestamp(container.start_time_realtime / 1e6 + (self._clock.zero_s or 0.0), UTC)
        if abs(zero - self.wall_zero) < timedelta(seconds=CLOCK_TRUST_S):
            self.wall_zero = zero


class Rtsp(Live):
    """An RTSP camera: rtsp://USER:PASSWORD@HOST:PORT/PATH, special characters of the password percent-encoded."""

    def __init__(self, url: str, settings: SourceSettings) -> None:
        super().__init__(redact(url), settings)
        self._url = url
        try:
            parts = urlsplit(url)
            self._host, _ = parts.hostname or "", parts.port
        except ValueError:
            self._host = ""
        if not self._host:
            raise UserError(
                f"'{self.name}' is no RTSP address: write rtsp://USER:PASSWORD@HOST:PORT/PATH, "
                "with special characters of the password percent-encoded ('/' as %2F, '@' as %40)."
            )

    def _connect(self) -> InputContainer:
        settings = self.settings
        options = {
            "rtsp_transport": settings.transport,
            "timeout": str(round(settings.connect_timeout_s * 1e6)),  # of each answer, in us
            "allowed_media_types": "video",
            "probesize": "32768",
            "analyzeduration": "200000",
            "max_delay": "0" if settings.transport == "tcp" else "100000",  # us to wait for a late UDP packet
        }
        accelerator, self._expected = decoder(settings.decode)
        limits = (settings.connect_timeout_s, settings.freeze_timeout_s)
        return av.open(self._url, options=options, timeout=limits, hwaccel=accelerator)

    def _explain(self, error: Exception, took_s: float) -> Failure:
        limit_s = self.settings.connect_timeout_s
        match error:
            case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError() if "@" in self._url:
                return Failure(f"{self.name} refuses the user name or the password.", permanent=True)
            case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
                return Failure(
                    f"{self.name} asks for a user name and a password: write rtsp://USER:PASSWORD@HOST/PATH.",
                    permanent=True,
                )
            case av.error.HTTPNotFoundError():
                return Failure(f"There is no stream at {self.name}: the camera knows no such path.", permanent=True)
            case ConnectionRefusedError():
                return Failure(f"{self.name} refuses the connection: is the camera on, and the port right?")
            case av.error.InvalidDataError() if took_s < 0.9 * limit_s:
                return Failure(f"{self.name} answers, but not as an RTSP camera does.")
            case av.error.InvalidDataError() | av.error.ExitError() | TimeoutError():
                return Failure(f"{self.name} does not answer within {limit_s:g} s.")
            case OSError() if not _resolves(self._host):
                return Failure(f"The host '{self._host}' of {self.name} is unknown.", permanent=True)
        return Failure(f"{self.name} cannot be opened: {getattr(error, 'strerror', 'unknown error')}.")


class Webcam(Live):
    """A camera at this machine (Video4Linux), by its device, /dev/videoN. It may choose another size and rate."""

    def _connect(self) -> InputContainer:
        settings = self.settings
        options = {
            "video_size": f"{settings.camera_width_px}x{settings.camera_height_px}",
            "framerate": f"{settings.camera_rate_hz:g}",
        }
        os.stat(self.name)
        return av.open(
            self.name, format="v4l2", options=options, timeout=(settings.connect_timeout_s, settings.freeze_timeout_s)
        )

    def _explain(self, error: Exception, took_s: float) -> Failure:
        match error:
            case FileNotFoundError():
                others = ", ".join(str(path) for path in sorted(Path("/dev").glob("video*")))
                return Failure(f"There is no camera {self.name}: {others or 'no camera'} is connected.", permanent=True)
            case PermissionError():
                return Failure(
                    f"The camera {self.name} may not be used: permission denied. Is the user in the group 'video'?",
                    permanent=True,
                )
            case OSError(errno=errno.EBUSY):
                return Failure(f"The camera {self.name} is in use by another program.")
        return Failure(f"{self.name} is not a camera that can be read: {getattr(error, 'strerror', 'unknown error')}.")


def _decode_or_skip(packet: av.Packet) -> list[VideoFrame]:
    """A damaged packet gives no picture; the next key frame mends the stream."""
    try:
        return packet.decode()
    except av.FFmpegError:
        return []


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def redact(url: str) -> str:
    """The URL without user name and password, fit for a screen, a log and a store.

    Passwords may hold any character, '@' and '/' too, so everything up to the last '@' goes; so do secrets in a query.
    """
    scheme, slashes, rest = url.partition("://")
    if re.match(r"[^/]*[:@]", rest):
        rest = rest.rpartition("@")[2]
    return re.sub(r"(?i)((?:pass|pwd|token|secret|key|auth)\w*=)[^&;\s]*", r"\1***", scheme + slashes + rest)
