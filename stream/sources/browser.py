"""A visitor's webcam as a source: pictures that the page sends, each with the time at which it was taken."""

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

from merau.engine.errors import UserError
from merau.stream.sources.source import Frame, Source, SourceSettings, bgr, time_of

MICROSECOND = Fraction(1, 1_000_000)
MAX_PX = 1280 * 960  # larger pictures are refused: they would starve the other visitors
AHEAD = 120  # packets that may wait for the decoder; a page that sends faster than we decode is cut off


class Packet(NamedTuple):
    """Coded picture: `captured_s` counts from the page's own zero."""

    coding: Literal["h264", "jpeg"]
    captured_s: float
    data: bytes


class Browser(Source):
    """Pictures that are pushed in, decoded in a thread of their own; the oldest waiting frame is dropped when late.

    `zero`: the page's time zero on the clock. The iteration ends after `end()`, which tells why.
    """

    live = True

    def __init__(self, name: str, settings: SourceSettings, zero: datetime) -> None:
        super().__init__(name, settings, settings.queue_frames)
        self._packets: queue.SimpleQueue[Packet | None] = queue.SimpleQueue()
        self._zero = zero
        self._ending = "the page ended it"
        self._first_s: float | None = None  # capture time of the frame at 0 s

    def push(self, packet: Packet) -> None:
        """Hand over a coded picture, from any thread, without waiting. Raises UserError when too many wait."""
        if self._packets.qsize() >= AHEAD:
            raise UserError("Pictures come faster than this machine decodes them: the camera was let go.")
        self._packets.put(packet)

    def end(self, reason: str) -> None:
        """No more pictures come; those that wait are still decoded."""
        self._ending = reason
        self._packets.put(None)

    def stop(self) -> None:
        super().stop()
        self._packets.put(None)

    def _run(self) -> str:
        decoder = _decoder()
        while (packet := self._packets.get()) is not None and not self._stopped.is_set():
            for image, captured_s in _pictures(packet, decoder, self._converter):
                self._deliver(image, captured_s)
        return self._ending

    def _deliver(self, image: np.ndarray, captured_s: float) -> None:
        if image.shape[0] * image.shape[1] > MAX_PX:
            raise UserError(f"The camera's picture has {image.shape[1]} x {image.shape[0]} pixels: choose 1280 x 720.")
        arrived_s = time.monotonic()
        if self._first_s is None:
            self._first_s = captured_s
            self.wall_zero = datetime.fromtimestamp(self._zero.timestamp() + captured_s, UTC)
        expected_s = captured_s - self._first_s
        t_s = self._clock.place(captured_s, expected_s, latest_s=float("inf"))
        self._enter("live")
        with self._lock:
            self._dropped += self._queue.put_now(Frame(image, t_s, self._frames, arrived_s))
            self._frames += 1


def _decoder() -> VideoCodecContext:
    decoder = VideoCodecContext.create("h264", "r")
    decoder.thread_type = "NONE"
    decoder.flags |= CodecFlags.low_delay
    return decoder


def _pictures(
    packet: Packet, decoder: VideoCodecContext, converter: VideoReformatter
) -> Iterator[tuple[np.ndarray, float]]:
    """BGR pictures with their capture times; a damaged packet gives none, the next key frame mends the stream."""
    if packet.coding == "jpeg":
        image = cv2.imdecode(np.frombuffer(packet.data, np.uint8), cv2.IMREAD_COLOR)
        if image is not None:
            yield image, packet.captured_s
        return
    coded = av.Packet(packet.data)
    coded.pts, coded.time_base = round(packet.captured_s / MICROSECOND), MICROSECOND
    try:
        pictures = decoder.decode(coded)
    except av.error.FFmpegError:
        return
    for picture in pictures:
        yield bgr(picture, converter), time_of(picture) or packet.captured_s
