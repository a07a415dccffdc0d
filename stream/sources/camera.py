"""Cameras as sources, over RTSP or on this machine: reconnected whenever they are lost."""

from __future__ import annotations

import errno
import os
import random
import socket
import stat
import sys
import time
from abc import abstractmethod
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import av
import av.error
from av.codec.context import Flags as CodecFlags
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from merau.engine.errors import Message, UserError
from merau.stream.sources.address import redact
from merau.stream.sources.colour import luma
from merau.stream.sources.hwaccel import actual_decoder, open_accelerator
from merau.stream.sources.limits import MAX_PX
from merau.stream.sources.source import (
    STOPPED,
    Frame,
    Source,
    SourceSettings,
    SourceState,
    system_reason,
    time_of,
    upright,
)
from merau.stream.sources.webcams import VIDEO4LINUX, camera_input, camera_names

PERMANENT_PAUSE_S = 30.0  # cameras lock a user out who gives wrong passwords faster
KEY_FRAME_WAIT_S = 15.0  # cameras send a key frame every 1 to 10 s, and nothing can be decoded before the first
CLOCK_JUMP_S = 5.0  # a camera's clock that runs this far ahead of ours was set, not slow
CLOCK_STEP_S = 1.0  # and one that steps this much further than ours: cameras with two tracks tell time by their clock
WALL_STEP_S = 0.05  # smaller corrections of the wall clock are left
OUR_STEP_S = 2.0  # by which our clock was set, or has drifted
CLOCK_TRUST_S = 10.0  # a camera whose wall clock is further than this from ours has no time server


class Failure:
    """Why a camera could not be opened, or was lost.

    Attributes:
        message: The sentence, filled in from a template and its values.
        permanent: Waiting does not help.
    """

    def __init__(self, template: str, *, permanent: bool = False, **values: object) -> None:
        self.message, self.permanent = Message(template, values), permanent


class Camera(Source):
    """A camera. It is reconnected whenever it is lost, and drops its oldest frame when the analysis is late.

    If the first connection fails, UserError is raised, unless `settings.wait_for_camera` says to wait for a camera that
    merely does not answer. After the first frame, only `stop()` or `settings.give_up_after_s` end the iteration.

    `wall_zero` is the arrival of the first frame. An RTSP camera corrects it by its own clock, as long as that is near
    ours, and it moves when our clock is set; frames that were given before keep their wall-clock times.
    """

    live = True

    def __init__(self, name: str, settings: SourceSettings) -> None:
        super().__init__(name, settings, settings.queue_frames)
        self._zero_arrived_s = self._arrived_s = time.monotonic()  # of the first and of the newest frame
        self._our_zero = datetime.now(UTC)  # what our clock shows, less the time since the first frame
        self._expected_decoder: Message | None = None

    @abstractmethod
    def _connect(self) -> InputContainer:
        """Open the camera.

        Raises:
            av.FFmpegError, OSError: It cannot be opened.
        """

    @abstractmethod
    def _explain(self, error: Exception, took_s: float) -> Failure:
        """Explain an error that `_connect` raised after `took_s` seconds."""

    def state(self) -> SourceState:
        """Return the present state; safe from any thread, at any time."""
        state = super().state()
        silent_s = time.monotonic() - self._arrived_s
        if state.phase == "live" and silent_s > self.settings.freeze_timeout_s:  # a webcam may hang without an error
            since = datetime.now(UTC) - timedelta(seconds=silent_s)
            reason = Message("No frame for {seconds} s.", {"seconds": f"{silent_s:.0f}"})
            return replace(state, phase="lost", since=since, reason=reason)
        return state

    def _run(self) -> Message:
        """Connect, and reconnect after every loss with a pause that doubles up to a limit."""
        settings = self.settings
        pause_s = settings.backoff_first_s
        while True:
            frames_before, start_s = self._frames, time.monotonic()
            failure = self._run_connection()
            if self._stopped.is_set():
                return STOPPED
            gives_up = not settings.wait_for_camera or (failure.permanent and not settings.keep_trying)
            if not self._frames and gives_up:
                raise UserError.from_message(failure.message)
            self._enter("lost" if self._frames else "connecting", failure.message)
            if settings.give_up_after_s and time.monotonic() - self._arrived_s >= settings.give_up_after_s:
                seconds = f"{settings.give_up_after_s:g}"
                return Message("gave up after {seconds} s: {reason}", {"seconds": seconds, "reason": failure.message})
            if self._frames > frames_before:
                pause_s = settings.backoff_first_s
            if failure.permanent and not self._frames:
                pause_s = PERMANENT_PAUSE_S
            next_s = start_s + pause_s * random.uniform(0.5, 1.0)  # jitter, so that many cameras are not called in step
            self._stopped.wait(max(0.0, next_s - time.monotonic()))
            pause_s = min(2 * pause_s, settings.backoff_limit_s)

    def _run_connection(self) -> Failure:
        """Open one connection, read it to its end, and return why it ended."""
        start_s = time.monotonic()
        try:
            container = self._connect()
        except (av.FFmpegError, OSError) as error:
            return self._explain(error, time.monotonic() - start_s)
        with container:
            videos = container.streams.video
            if not videos or videos[0].codec_context is None:
                return Failure("{name} sends no video.", permanent=True, name=self.name)
            try:
                return self._receive(container, videos[0])
            except (TimeoutError, av.error.ExitError):
                return self._silence()
            except (av.FFmpegError, OSError) as error:
                return Failure("Lost the connection to {name}: {reason}.", name=self.name, reason=system_reason(error))

    def _receive(self, container: InputContainer, stream: VideoStream) -> Failure:
        stream.thread_type = "NONE"  # threads hold frames back: twice the latency
        stream.codec_context.flags |= CodecFlags.low_delay
        stream.codec_context.options = {"max_pixels": str(MAX_PX)}
        received_s = decoded_s = time.monotonic()
        first = True
        self._clock.restart()
        for packet in container.demux(stream):
            waited_s, received_s = time.monotonic() - received_s, time.monotonic()
            if waited_s >= self.settings.freeze_timeout_s:
                return self._silence()  # at the time-out FFmpeg first hands out a piece that it held back
            for picture in _decode_or_skip(packet):
                decoded_s = time.monotonic()
                self._decoder = actual_decoder(stream.codec_context, self._expected_decoder)
                if not first or picture.pts is not None:  # RTSP: the first of a connection carries no time
                    self._emit(picture, stream, decoded_s, self._coding.is_coarse(picture, packet.size))
                    self._set_wall_zero(packet)
                first = False
            if self._stopped.is_set():
                return Failure("stopped")
            if time.monotonic() - decoded_s > KEY_FRAME_WAIT_S:
                return Failure("{name} sends no video that can be decoded.", name=self.name)
        return Failure("{name} ended the stream.", name=self.name)

    def _silence(self) -> Failure:
        seconds = f"{self.settings.freeze_timeout_s:g}"
        return Failure("{name} is frozen: no data for {seconds} s.", name=self.name, seconds=seconds)

    def _emit(self, picture: VideoFrame, stream: VideoStream, arrived_s: float, coarse: bool) -> None:
        """Put a frame into the queue; the first after a loss closes a gap."""
        before_s = self._clock.t_s
        if before_s is None:
            self._zero_arrived_s = arrived_s
        expected_s = arrived_s - self._zero_arrived_s
        t_s = self._clock.place(time_of(picture), expected_s, self._latest_s(expected_s, arrived_s))
        self._arrived_s = arrived_s
        image = upright(picture, stream, self._converter)
        frame = Frame(image, t_s, self._frames, arrived_s, luma(picture), coarse)
        was_lost = self._phase == "lost"
        self._enter("live")
        with self._lock:
            if before_s is not None and was_lost:
                self._reconnects += 1
                self._gaps.append((before_s, t_s))
            self._frames += 1
            self._dropped += self._queue.put_now(frame)

    def _latest_s(self, expected_s: float, arrived_s: float) -> float:
        """Return the latest plausible time of a frame."""
        before_s = self._clock.t_s
        if before_s is None:
            return expected_s + CLOCK_JUMP_S
        step_s = before_s + (arrived_s - self._arrived_s) + CLOCK_STEP_S
        return min(max(expected_s, before_s) + CLOCK_JUMP_S, step_s)

    def _set_wall_zero(self, packet: av.Packet[VideoStream]) -> None:
        """Follow our clock, and the camera's while it is near ours; both may be set at any time."""
        ours = datetime.now(UTC) - timedelta(seconds=time.monotonic() - self._zero_arrived_s)
        if self.wall_zero is None:
            self.wall_zero = self._our_zero = ours
        if abs((ours - self._our_zero).total_seconds()) > OUR_STEP_S:
            self.wall_zero, self._our_zero = self.wall_zero + (ours - self._our_zero), ours
        captured, t_s = captured_at(packet), self._clock.t_s
        if captured is None or t_s is None:
            return
        zero = captured - timedelta(seconds=t_s)
        is_near = abs((zero - ours).total_seconds()) < CLOCK_TRUST_S
        if is_near and abs((zero - self.wall_zero).total_seconds()) > WALL_STEP_S:
            self.wall_zero = zero


class Rtsp(Camera):
    """An RTSP camera: rtsp://USER:PASSWORD@HOST:PORT/PATH, with special characters percent-encoded.

    Raises:
        UserError: The address is not one of RTSP.
    """

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
                "'{name}' is not an RTSP address: use rtsp://USER:PASSWORD@HOST:PORT/PATH, with special characters of"
                " the password percent-encoded ('/' as %2F, '@' as %40).",
                name=self.name,
            )

    def _connect(self) -> InputContainer:
        settings = self.settings
        options = {
            "rtsp_transport": settings.transport,
            "timeout": str(round(settings.connect_timeout_s * 1e6)),  # of each answer, in us
            "allowed_media_types": "video",
            "probesize": "32768",
            "analyzeduration": "200000",
            "format_whitelist": "rtsp",  # neither a play list nor a file, whatever the camera answers
            "protocol_whitelist": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto",
            "max_pixels": str(MAX_PX),
            "max_delay": "0" if settings.transport == "tcp" else "100000",  # us to wait for a late UDP packet
        }
        accelerator, self._expected_decoder = open_accelerator(settings.decode)
        limits = (settings.connect_timeout_s, settings.freeze_timeout_s)
        return av.open(self._url, options=options, timeout=limits, hwaccel=accelerator)

    def _explain(self, error: Exception, took_s: float) -> Failure:
        name, limit_s = self.name, self.settings.connect_timeout_s
        match error:
            case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError() if "@" in self._url:
                return Failure("{name} rejects the user name or the password.", permanent=True, name=name)
            case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
                return Failure(
                    "{name} requires a user name and a password: use rtsp://USER:PASSWORD@HOST/PATH.",
                    permanent=True,
                    name=name,
                )
            case av.error.HTTPNotFoundError():
                return Failure("There is no stream at {name}: check the path.", permanent=True, name=name)
            case ConnectionRefusedError():
                return Failure("{name} refuses the connection: is the camera on, and the port right?", name=name)
            case av.error.InvalidDataError() if took_s < 0.9 * limit_s:
                return Failure("{name} answers, but not with RTSP.", name=name)
            case av.error.InvalidDataError() | av.error.ExitError() | TimeoutError():
                return Failure("{name} does not answer within {seconds} s.", name=name, seconds=f"{limit_s:g}")
            case OSError() if not _resolves(self._host):
                return Failure("The host '{host}' of {name} is unknown.", permanent=True, host=self._host, name=name)
        return Failure("{name} cannot be opened: {reason}.", name=name, reason=system_reason(error))


class Webcam(Camera):
    """A camera on this machine by its name, see `webcams`. It may choose another size and rate."""

    def _connect(self) -> InputContainer:
        settings = self.settings
        options = {
            "video_size": f"{settings.camera_width_px}x{settings.camera_height_px}",
            "framerate": f"{settings.camera_rate_hz:g}",
        }
        device, format_name = camera_input(self.name)
        if format_name == VIDEO4LINUX and not stat.S_ISCHR(os.stat(device).st_mode):
            raise OSError(errno.ENODEV, "it is not a device")
        return av.open(
            device,
            format=format_name,
            options=options,
            timeout=(settings.connect_timeout_s, settings.freeze_timeout_s),
        )

    def _explain(self, error: Exception, took_s: float) -> Failure:
        name = self.name
        match error:
            case FileNotFoundError():
                others = ", ".join(camera_names())
                connected = others or Message("none")
                return Failure(
                    "There is no camera {name}. Connected: {others}.", permanent=True, name=name, others=connected
                )
            case PermissionError():
                return Failure(
                    "No permission to use the camera {name}: is the user in the group 'video'?",
                    permanent=True,
                    name=name,
                )
            case OSError(errno=errno.EBUSY):
                return Failure("The camera {name} is in use by another program.", name=name)
        return Failure("{name} cannot be read as a camera: {reason}.", name=name, reason=system_reason(error))


def _decode_or_skip(packet: av.Packet[VideoStream]) -> list[VideoFrame]:
    """Decode a packet; a damaged one gives no picture, until the next key frame."""
    try:
        return packet.decode()
    except av.FFmpegError:
        return []


def captured_at(packet: av.Packet[VideoStream]) -> datetime | None:
    """Return when a packet was captured, as the sender's reports state it; None if it sent none."""
    if not packet.has_sidedata("prft"):
        return None
    microseconds = int.from_bytes(bytes(packet.get_sidedata("prft"))[:8], sys.byteorder, signed=True)
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False
