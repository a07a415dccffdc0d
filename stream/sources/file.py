"""Recordings as sources."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.format import Flags
from av.stream import Disposition
from av.video.stream import VideoStream

from merau.engine.errors import Message, UserError
from merau.stream.sources.colour import luma
from merau.stream.sources.hwaccel import actual_decoder, open_accelerator
from merau.stream.sources.limits import (
    MAX_LENGTH_S,
    MAX_PX,
    MIN_RATE_HZ,
    OTHER_FORMATS,
    demuxer_options,
    plausible_aspect,
    plausible_time,
)
from merau.stream.sources.reading import ONLY_DTS, PictureReader, unread_bytes
from merau.stream.sources.source import (
    END_OF_FILE,
    STOPPED,
    Clock,
    Frame,
    Source,
    SourceSettings,
    system_reason,
    upright,
)

DECODED_AHEAD = 4  # frames
HOLE_S = 2.0  # a longer time without a picture is told
SAME_RATE = 1.5  # a camera in the dark is slower by less; slow motion by more
CAPTURE_RATE = re.compile(
    r"(^|[._])capture[._]?(fps|frame_?rate)$", re.IGNORECASE
)  # com.android.capture.fps and others


class File(Source):
    """A recording: every frame that can be decoded, of any codec, rotation and rate; none is dropped.

    Times are captured time: seconds as they passed before the camera. They count from the container's zero, as in a
    player, also where sound begins before the picture. A damaged or cut-off file gives the frames that can be decoded.
    What is missing, odd or assumed is in `state().notes`.

    Raises:
        UserError: The file cannot be read as a video.
    """

    live = False

    def __init__(self, path: str, settings: SourceSettings) -> None:
        super().__init__(path, settings, DECODED_AHEAD)
        accelerator, self._expected = open_accelerator(settings.decode)
        self._container, self._stream, streams = _open_file(path, accelerator)
        if streams > 1:
            self._note_streams(streams)
        self._has_times = Flags.no_timestamps not in Flags(self._container.format.flags)
        rate_hz = self._rate()
        self.slowdown = self._slowdown(rate_hz)
        self._spacing_s = 1 / rate_hz / self.slowdown
        self._set_length()
        self.wall_zero = _creation_time(self._container.metadata | self._stream.metadata)
        self._clock = Clock(tolerance_s=0.5)
        self._clock.zero_s = None if self._zero_s is None or not self._has_times else self._zero_s / self.slowdown
        self._holes: list[tuple[float, float]] = []

    def _note_streams(self, streams: int) -> None:
        self._note(
            "'{name}' has {count} video streams: the one of {width} x {height} pixels was analysed.",
            count=streams,
            width=self._stream.width,
            height=self._stream.height,
        )

    def _rate(self) -> float:
        """Return the frames for each second of the film."""
        stream, stated = self._stream, self.settings.rate_hz
        if stated and self._has_times:
            raise UserError(
                "'{name}' has times of its own: --rate is for raw video; use --captured-rate for slow motion.",
                name=self.name,
            )
        rates = [float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate and rate >= MIN_RATE_HZ]
        if self._has_times:
            return min(rates, default=25.0)  # AVI may count fields
        if stated:
            return stated
        rate_hz = rates[-1] if rates else 25.0
        if stream.codec_context.framerate:
            self._note("'{name}' has no times: its codec states {rate} frames/s.", rate=f"{rate_hz:g}")
        else:
            self._note(
                "'{name}' has no times: {rate} frames/s were assumed; state the true rate with --rate.",
                rate=f"{rate_hz:g}",
            )
        return rate_hz

    def _slowdown(self, rate_hz: float) -> float:
        """Return how much slower the film plays than it was captured."""
        if self.settings.captured_rate_hz:
            captured_hz = self.settings.captured_rate_hz
        else:
            captured_hz = _tagged_rate(self._container.metadata | self._stream.metadata) or rate_hz
            if 1 / SAME_RATE < captured_hz / rate_hz < SAME_RATE:
                return 1.0
        if captured_hz != rate_hz:
            self._note(
                "'{name}' was captured at {captured} frames/s and plays at {rate}: times are those of the capture.",
                captured=f"{captured_hz:g}",
                rate=f"{rate_hz:g}",
            )
        return captured_hz / rate_hz

    def _set_length(self) -> None:
        stream, container = self._stream, self._container
        tick = stream.time_base or Fraction(0)
        self._zero_s = None if container.start_time is None else max(0.0, container.start_time / av.time_base)
        late_s = 0.0  # how long after the zero the picture begins
        if self._zero_s is not None and stream.start_time is not None:
            late_s = max(0.0, float(stream.start_time * tick) - self._zero_s)
            if late_s < 2 / av.time_base:  # the container's start is rounded
                self._zero_s, late_s = max(0.0, float(stream.start_time * tick)), 0.0
        film_s = late_s + float(stream.duration * tick) if stream.duration else (container.duration or 0) / av.time_base
        length_s = film_s / self.slowdown
        self.duration_s = length_s if 0 < length_s <= MAX_LENGTH_S else None
        pictures = round(self.duration_s / self._spacing_s) if self.duration_s else None
        counts_fields = pictures and stream.frames > 1.5 * pictures  # as AVI may
        self.frames_total = pictures if counts_fields else stream.frames or pictures

    def excerpt(self, from_s: float, to_s: float) -> Iterator[tuple[float, np.ndarray]]:
        """Yield the frames between two times, with their times, without reading what is before.

        For a recording that is not started: it is read in the thread of the caller. Close it by `close`.

        Yields:
            Captured time in seconds, and (H, W, 3) uint8 BGR.
        """
        zero_s = self._zero_s or 0.0
        tick_s = float(self._stream.time_base or Fraction(1, av.time_base))
        if self._has_times and self._container.format.name not in ONLY_DTS:
            with suppress(av.FFmpegError):
                start = int((max(from_s, 0.0) * self.slowdown + zero_s) / tick_s)
                self._container.seek(start, stream=self._stream)
        for picture, film_s in PictureReader(self._container, self._stream):
            t_s = self._place(film_s)
            if t_s > to_s:
                return
            if t_s >= from_s:
                yield t_s, upright(picture, self._stream, self._converter)

    def close(self) -> None:
        """Close a recording that was not started."""
        self._container.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        if not self._thread.is_alive():
            self._container.close()

    def _run(self) -> Message:
        reader = PictureReader(self._container, self._stream)
        started_s: float | None = None
        for picture, film_s in reader:
            if self._stopped.is_set():
                return STOPPED
            self._decoder = actual_decoder(self._stream.codec_context, self._expected)
            t_s = self._place(film_s)
            coarse = self._coding.is_coarse(picture, reader.packet_bytes)
            image = upright(picture, self._stream, self._converter)
            if started_s is None:
                started_s = time.monotonic() - t_s
            if self.settings.paced:
                self._stopped.wait(max(0.0, started_s + t_s - time.monotonic()))
            self._enter("live")
            self._queue.put(Frame(image, t_s, self._frames, time.monotonic(), luma(picture), coarse))
            with self._lock:
                self._frames += 1
        return self._ending(reader)

    def _place(self, film_s: float | None) -> float:
        """Place the next picture in captured time, and keep the hole before it."""
        before_s = self._clock.t_s
        expected_s = 0.0 if before_s is None else before_s + self._spacing_s
        stream_s = film_s / self.slowdown if film_s is not None and self._has_times else None
        if before_s is None and stream_s is not None and self._clock.zero_s is not None:
            self._clock.zero_s = min(self._clock.zero_s, stream_s)  # nothing is before the zero
        t_s = self._clock.place(stream_s, expected_s, latest_s=MAX_LENGTH_S)
        if t_s - (before_s or 0.0) > max(HOLE_S, 3 * self._spacing_s):
            with self._lock:
                self._gaps.append((before_s or 0.0, t_s))
            self._holes.append((before_s or 0.0, t_s))
        return t_s

    def _ending(self, reader: PictureReader) -> Message:
        """Note what is missing, and return why the recording ended."""
        if not self._frames:
            raise UserError("'{name}' contains no frame that can be decoded.", name=self.name)
        cut_off = self._note_cut_off(reader)
        if reader.damages and not cut_off:
            self._note("'{name}' is damaged: packets that could not be decoded: {count}.", count=reader.damages)
        damage = self._notes[-1] if cut_off or reader.damages else None
        self._note_parts(reader)
        if self._holes:
            from_s, to_s = max(self._holes, key=lambda hole: hole[1] - hole[0])
            self._note(
                "'{name}' has holes of more than 2 s without a picture: {count}; the longest is {from_s} to {to_s} s.",
                count=len(self._holes),
                from_s=f"{from_s:.2f}",
                to_s=f"{to_s:.2f}",
            )
        if self._clock.nudged:
            self._note(
                "'{name}' gives {count} pictures no later time than the one before: they were placed 1 ms after it.",
                count=self._clock.nudged,
            )
        return damage or END_OF_FILE

    def _note_cut_off(self, reader: PictureReader) -> bool:
        """Note whether the recording ends before the length that it states."""
        if not self.duration_s:
            return False
        read_s = (self._clock.t_s or 0.0) + self._spacing_s
        end_s = read_s
        if not self._stream.duration and reader.end_s is not None:  # the length is that of all streams
            end_s = max(read_s, (reader.end_s - (self._zero_s or 0.0)) / self.slowdown)
        if end_s >= self.duration_s - max(0.5 / self.slowdown, 2 * self._spacing_s):
            return False
        self._note(
            "'{name}' is cut off: {read} of {whole} s could be decoded.",
            read=f"{read_s:.2f}",
            whole=f"{self.duration_s:.2f}",
        )
        return True

    def _note_parts(self, reader: PictureReader) -> None:
        """Note what was left out or put together where recordings were joined."""
        if reader.joins:
            self._note(
                "'{name}' is joined from {count} recordings: the times of each go on from the one before.",
                count=reader.joins + 1,
            )
        if reader.discarded:
            self._note(
                "'{name}' lacks {count} pictures that cannot be read where recordings were joined: join them with a"
                " program that rewrites the file.",
                count=reader.discarded,
            )
        if unread := unread_bytes(self.name, reader.read_to, "mp4" in self._container.format.name):
            self._note(
                "'{name}' was not read to its end: its last {count} of {size} bytes hold something else, such as"
                " another recording. Join recordings with a program that rewrites the file.",
                count=unread,
                size=os.path.getsize(self.name),
            )


def _open_file(path: str, accelerator: HWAccel | None) -> tuple[InputContainer, VideoStream, int]:
    """Open a file; return its container, its main video stream, and how many video streams it has."""
    _check_readable(path)
    # 'file:' so that a colon in a name means no protocol.
    try:
        container = av.open(f"file:{path}", options=demuxer_options(), metadata_errors="replace", hwaccel=accelerator)
    except (av.FFmpegError, OSError):
        raise UserError("'{name}' is not a video in a format that merau reads, or it is damaged.", name=path) from None
    videos = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    try:
        _check_content(path, container, videos)
    except UserError:
        container.close()
        raise
    video = max((stream for stream in videos if stream.codec_context), key=_rank)
    video.codec_context.options = {"max_pixels": str(MAX_PX)}  # a later picture may be larger than the first
    # The other cores analyse. Decoding threads cost a fifth more time in all, and pay only for large pictures.
    video.thread_type = "AUTO" if video.width * video.height > 1920 * 1080 else "NONE"
    return container, video, len(videos)


def _rank(stream: VideoStream) -> tuple[bool, bool, int, int]:
    """Rank the video streams of a file like FFmpeg: by the default flag, size and frames; single pictures are last."""
    is_default = Disposition.default in stream.disposition
    return stream.frames != 1, is_default, stream.width * stream.height, stream.frames


def _tagged_rate(tags: dict[str, str]) -> float | None:
    """Return the rate that a phone says it captured at, in frames/s."""
    for key, value in tags.items():
        if CAPTURE_RATE.search(key):
            try:
                rate_hz = float(value)
            except ValueError:
                continue
            if 0 < rate_hz < 1e5:
                return rate_hz
    return None


def _check_content(path: str, container: InputContainer, videos: list[VideoStream]) -> None:
    """Raise UserError unless one of `videos` can be decoded, and all within the limits."""
    if not videos or container.format.name in OTHER_FORMATS:
        content = Message("a single picture") if videos else Message("no video stream")
        raise UserError("'{name}' is not a video: it contains {content}.", name=path, content=content)
    decodable = [stream for stream in videos if stream.codec_context]
    if not decodable:
        raise UserError("'{name}' is coded in a way that this version cannot decode.", name=path)
    for video in decodable:
        if video.width * video.height * max(plausible_aspect(video.sample_aspect_ratio), Fraction(1)) > MAX_PX:
            raise UserError(
                "'{name}' has pictures of {width} x {height} pixels: make them 8192 x 4352 at most.",
                name=path,
                width=video.width,
                height=video.height,
            )


def _check_readable(path: str) -> None:
    """Raise UserError unless `path` is a file that may be read. Nothing else is opened: a pipe would wait for ever."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            Path(path).open("rb").close()
    except (FileNotFoundError, ValueError):  # ValueError: a name with a null character
        raise UserError("There is no file '{name}'.", name=path) from None
    except PermissionError:
        raise UserError("'{name}' cannot be read: permission denied.", name=path) from None
    except OSError as error:
        raise UserError("'{name}' cannot be read: {reason}.", name=path, reason=system_reason(error)) from None
    if stat.S_ISDIR(mode):
        raise UserError("'{name}' is a directory: give a video file.", name=path)
    if not stat.S_ISREG(mode):
        raise UserError("'{name}' is a pipe, a socket or a device: give a video file.", name=path)


def _creation_time(tags: dict[str, str]) -> datetime | None:
    """Return when the recording began by its camera's clock; None for a clock that is not right."""
    try:
        created = plausible_time(datetime.fromisoformat(tags["creation_time"]))
    except (KeyError, ValueError):
        return None
    return None if created and created > datetime.now(UTC) + timedelta(days=1) else created  # or it were kept for years
