"""Recordings as sources."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from merau.engine.errors import Message, UserError
from merau.stream.sources.hwaccel import actual_decoder, open_accelerator
from merau.stream.sources.source import (
    END_OF_FILE,
    STOPPED,
    Frame,
    Source,
    SourceSettings,
    system_reason,
    time_of,
    upright,
)

DECODED_AHEAD = 4  # frames


class File(Source):
    """A recording: every frame that can be decoded, of any codec, rotation and rate; none is dropped.

    A damaged or cut-off file gives the frames that can be decoded; `state().reason` then says so.

    Raises:
        UserError: The file cannot be read as a video.
    """

    live = False

    def __init__(self, path: str, settings: SourceSettings) -> None:
        super().__init__(path, settings, DECODED_AHEAD)
        accelerator, self._expected = open_accelerator(settings.decode)
        self._container, self._stream = _open_file(path, accelerator)
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

    def _run(self) -> Message:
        damages = 0
        started_s = time.monotonic()
        for picture in _decoded(self._container, self._stream):
            if self._stopped.is_set():
                return STOPPED
            if picture is None:
                damages += 1
                continue
            self._decoder = actual_decoder(self._stream.codec_context, self._expected)
            expected_s = 0.0 if self._clock.t_s is None else self._clock.t_s + self._spacing_s
            t_s = self._clock.place(time_of(picture), expected_s, latest_s=float("inf"))
            image = upright(picture, self._stream, self._converter)
            if self.settings.paced:
                self._stopped.wait(max(0.0, started_s + t_s - time.monotonic()))
            self._enter("live")
            self._queue.put(Frame(image, t_s, self._frames, time.monotonic()))
            with self._lock:
                self._frames += 1
        return self._ending(damages)

    def _ending(self, damages: int) -> Message:
        if not self._frames:
            raise UserError("'{name}' contains no frame that can be decoded.", name=self.name)
        read_s = (self._clock.t_s or 0.0) + self._spacing_s
        if self.duration_s and read_s < self.duration_s - max(0.5, 2 * self._spacing_s):
            return Message(
                "'{name}' is cut off: {read} of {whole} s could be decoded.",
                {"name": self.name, "read": f"{read_s:.2f}", "whole": f"{self.duration_s:.2f}"},
            )
        if damages:
            return Message(
                "'{name}' is damaged: packets that could not be decoded: {count}.",
                {"name": self.name, "count": damages},
            )
        return END_OF_FILE


def _open_file(path: str, accelerator: HWAccel | None) -> tuple[InputContainer, VideoStream]:
    _check_readable(path)
    # 'file:' so that a colon in a name means no protocol, and a playlist inside reaches no network.
    try:
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, hwaccel=accelerator)
    except (av.FFmpegError, OSError):
        raise UserError("'{name}' is not a video, or it is damaged.", name=path) from None
    videos = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    if not videos or container.format.name.endswith("_pipe") or container.format.name == "image2":
        container.close()
        content = Message("a single picture") if videos else Message("no video stream")
        raise UserError("'{name}' is not a video: it contains {content}.", name=path, content=content)
    video = videos[0]
    # The other cores analyse. Decoding threads cost a fifth more time in all, and pay only for large pictures.
    video.thread_type = "AUTO" if video.width * video.height > 1920 * 1080 else "NONE"
    return container, video


def _check_readable(path: str) -> None:
    """Raise UserError unless `path` is a file that may be read."""
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
        if not is_directory:
            Path(path).open("rb").close()
    except FileNotFoundError:
        raise UserError("There is no file '{name}'.", name=path) from None
    except PermissionError:
        raise UserError("'{name}' cannot be read: permission denied.", name=path) from None
    except OSError as error:
        raise UserError("'{name}' cannot be read: {reason}.", name=path, reason=system_reason(error)) from None
    if is_directory:
        raise UserError("'{name}' is a directory: give a video file.", name=path)


def _creation_time(tags: dict[str, str]) -> datetime | None:
    try:
        created = datetime.fromisoformat(tags["creation_time"])
    except (KeyError, ValueError):
        return None
    if created.year < 1980:  # an unset tag reads as 1904 or 1970
        return None
    return created.astimezone(UTC) if created.tzinfo else created.replace(tzinfo=UTC)


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame | None]:
    """Decode the frames of a stream in order of display; None for each place that cannot be decoded."""
    packets = container.demux(stream)
    more = True
    while more:
        try:
            packet = next(packets, None)
            more = packet is not None
            if packet is not None and packet.is_corrupt:  # cut in two: decoding would paint over what is missing
                yield None
            else:
                yield from packet.decode() if packet else stream.codec_context.decode(None)
        except av.EOFError:  # already flushed
            return
        except av.FFmpegError:
            yield None
