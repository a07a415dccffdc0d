"""A visitor's webcam as a source: the page sends pictures, each with its capture time."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from typing import Literal, NamedTuple

import av
import av.error
import cv2
import numpy as np
from av.codec.context import Flags as CodecFlags
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter

from merau.engine.errors import Message, UserError
from merau.stream.sources.coding import CodingMeter
from merau.stream.sources.colour import BT601, Luma, bgr, luma
from merau.stream.sources.limits import jpeg_size
from merau.stream.sources.source import Frame, Source, SourceSettings, time_of

MICROSECOND = Fraction(1, 1_000_000)
MAX_PX = 1280 * 960  # larger pictures would take too much computing time from other visitors
MAX_DECODED_PX = 4 * MAX_PX  # larger ones are not even decoded to be refused with their size
MAX_PENDING = 120  # packets that may wait for the decoder


class Packet(NamedTuple):
    """A coded picture; `captured_s` counts from the page's own time zero."""

    coding: Literal["h264", "jpeg"]
    captured_s: float
    data: bytes


class Browser(Source):
    """Decode pictures that a page pushes; if the analysis is late, the oldest waiting frame is dropped.

    The iteration ends after `end`.

    Args:
        name: Name of the source.
        settings: The queue's length.
        zero: Wall-clock time of the page's time zero.
    """

    live = True

    def __init__(self, name: str, settings: SourceSettings, zero: datetime) -> None:
        super().__init__(name, settings, settings.queue_frames)
        self._packets: queue.SimpleQueue[Packet | None] = queue.SimpleQueue()
        self._zero = zero
        self._ending = Message("the page ended it")
        self._first_s: float | None = None  # capture time of the frame at 0 s

    def push(self, packet: Packet) -> None:
        """Take a coded picture, without waiting; safe from any thread.

        Raises:
            UserError: Too many pictures wait.
        """
        if self._packets.qsize() >= MAX_PENDING:
            raise UserError("The webcam was stopped: it sends pictures faster than this machine decodes them.")
        self._packets.put(packet)

    def end(self, reason: Message) -> None:
        """Accept no more pictures; those that wait are still decoded."""
        self._ending = reason
        self._packets.put(None)

    def stop(self) -> None:
        """End the iteration at once and drop the frames that wait; safe from any thread."""
        super().stop()
        self._packets.put(None)

    def _run(self) -> Message:
        decoder = _decoder()
        while (packet := self._packets.get()) is not None and not self._stopped.is_set():
            for image, captured_s, weights, coarse in _pictures(packet, decoder, self._converter, self._coding):
                self._emit(image, captured_s, weights, coarse)
        return self._ending

    def _emit(self, image: np.ndarray, captured_s: float, weights: Luma, coarse: bool) -> None:
        arrived_s = time.monotonic()
        if self._first_s is None:
            self._first_s = captured_s
            self.wall_zero = datetime.fromtimestamp(self._zero.timestamp() + captured_s, UTC)
        expected_s = captured_s - self._first_s
        t_s = self._clock.place(captured_s, expected_s, latest_s=float("inf"))
        self._enter("live")
        with self._lock:
            self._dropped += self._queue.put_now(Frame(image, t_s, self._frames, arrived_s, weights, coarse))
            self._frames += 1


def check_size(width: int, height: int) -> None:
    """Raise UserError where a picture of this size would take too much computing time."""
    if width * height > MAX_PX:
        raise UserError(
            "The camera's picture has {width} x {height} pixels: choose 1280 x 720.", width=width, height=height
        )


def _decoder() -> VideoCodecContext:
    decoder = VideoCodecContext.create("h264", "r")
    decoder.thread_type = "NONE"
    decoder.flags |= CodecFlags.low_delay
    decoder.options = {"max_pixels": str(MAX_DECODED_PX)}
    return decoder


def _pictures(
    packet: Packet, decoder: VideoCodecContext, converter: VideoReformatter, coding: CodingMeter
) -> Iterator[tuple[np.ndarray, float, Luma, bool]]:
    """Decode a packet to BGR pictures, times, luma, and whether they are coded coarsely.

    A damaged one gives none until the next key frame.
    """
    if packet.coding == "jpeg":
        width, height = jpeg_size(packet.data) or (0, 0)
        check_size(width, height)  # before a few bytes become gigabytes
        image = cv2.imdecode(np.frombuffer(packet.data, np.uint8), cv2.IMREAD_COLOR) if width else None
        if image is not None:
            yield image, packet.captured_s, BT601, False
        return
    coded = av.Packet(packet.data)
    coded.pts, coded.time_base = round(packet.captured_s / MICROSECOND), MICROSECOND
    try:
        pictures = decoder.decode(coded)
    except av.error.FFmpegError:
        return
    for picture in pictures:
        check_size(picture.width, picture.height)
        coarse = coding.is_coarse(picture, len(packet.data))
        yield bgr(picture, converter), time_of(picture) or packet.captured_s, luma(picture), coarse
