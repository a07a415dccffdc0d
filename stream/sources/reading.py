"""How a recording is read: its pictures in order with their times, and what shows that parts of it are missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

REORDERED = 16  # pictures that a codec may hold back at most to bring them in order
ONLY_DTS = ("avi", "asf")  # containers that keep the times of decoding only
LATE_PACKETS = 4
SEAM_PACKETS = 4  # where another recording begins, packets up to this far before it seem to be cut in two
RESTART_S = 0.5  # times that go back further belong to another recording
UNREAD_SHARE = 0.2  # an index behind the pictures is smaller than this share of the file,
UNREAD_BYTES = 65536  # or than this
# What a recording begins with, and at which byte.
SIGNATURES = ((4, b"ftyp"), (0, b"FLV\x01"), (0, b"\x1a\x45\xdf\xa3"), (0, bytes.fromhex("3026b2758e66cf11")))
BLOCK = 1 << 20


class PictureReader:
    """Decodes the main stream of a recording, and keeps account of what was read.

    Attributes:
        end_s: Where the last packet of any stream ends, on the container's clock; None before the first.
        read_to: The byte behind the last packet; 0 if the container does not tell.
        damages: Places that could not be decoded.
        joins: How often the times began anew: another recording follows.
        discarded: Pictures behind such a place that FFmpeg does not show.
        packet_bytes: Size of the packet that was decoded last.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.end_s: float | None = None
        self.read_to = self.damages = self.joins = self.discarded = self.packet_bytes = 0
        self._container, self._stream = container, stream
        self._first_dts: list[int] = []  # of the first packets
        self._last_dts: int | None = None
        self._highest_pts: int | None = None
        self._delay: int | None = None  # from a picture's packet to its place in the order of display, in ticks
        self._lead = 0  # ticks by which FFmpeg shows pictures later than AVI, which has only times of decoding
        self._shown: int | None = None  # pts of the picture before
        self._reordered = False  # packets carry the times of display, which go up and down
        self._by_dts = False  # pictures carry times in the order of decoding, as in AVI and ASF: use those of packets

    def __iter__(self) -> Iterator[tuple[VideoFrame, float | None]]:
        """Yield each picture with its time on the container's clock; None if it carries none.

        The first pictures are held until it is known which of their times is that of display.
        """
        held: list[VideoFrame] | None = []
        for picture in self._decoded():
            if held is None:
                yield picture, self._time(picture)
                continue
            held.append(picture)
            if self._settled(held):
                yield from ((waiting, self._time(waiting)) for waiting in held)
                held = None
        if held and not self._settled(held):
            self._reordered = True  # too few to tell: trust them
        yield from ((waiting, self._time(waiting)) for waiting in held or ())

    def _settled(self, held: list[VideoFrame]) -> bool:
        """Whether the pictures in `held` tell which of their times to use."""
        known = [picture.pts for picture in held if picture.pts is not None]
        goes_back = known != sorted(known)
        may_reorder = bool(self._stream.codec_context.has_b_frames)
        if not (goes_back or self._reordered or not may_reorder or len(held) >= REORDERED):
            return False
        has_only_dts = self._container.format.name in ONLY_DTS
        self._by_dts = not self._reordered and (goes_back or (may_reorder and has_only_dts))
        begin = self._begin(may_reorder and has_only_dts)
        if held[0].dts is not None and begin is not None:
            self._delay = held[0].dts - begin
        if known and begin is not None and self._container.format.name == "avi":
            self._lead = known[0] - begin
        return True

    def _begin(self, is_invented: bool) -> int | None:
        """Return the time of the first packet; FFmpeg may invent it, and then it lies far before the second."""
        match self._first_dts:
            case [first, second, third] if is_invented and second - first > LATE_PACKETS * (third - second):
                return 2 * second - third
            case [first, *_]:
                return first
        return None

    def _time(self, picture: VideoFrame) -> float | None:
        """Return the time of display of a picture, in seconds."""
        pts, dts = picture.pts, picture.dts
        if pts is not None and self._shown is not None and dts is not None and not self._reordered:
            self._by_dts |= self._shown - self._ticks(RESTART_S) < pts < self._shown
        self._shown = pts
        ticks = None if pts is None else pts - self._lead
        if self._by_dts:
            ticks = None if dts is None else dts - (self._delay or 0)
        return None if ticks is None or picture.time_base is None else float(ticks * picture.time_base)

    def _ticks(self, seconds: float) -> float:
        return seconds / float(self._stream.time_base or 1)

    def _decoded(self) -> Iterator[VideoFrame]:
        for packet in self._whole():
            self.packet_bytes = packet.size
            try:
                yield from packet.decode()
            except av.EOFError:  # already flushed
                return
            except av.FFmpegError:
                self.damages += 1
        try:
            yield from self._stream.codec_context.decode(None)
        except av.FFmpegError:
            return

    def _whole(self) -> Iterator[Packet[VideoStream]]:
        """Leave out packets that are cut in two: decoding would paint over what is missing.

        Where recordings were joined, the last packets of the one before are marked, too, but are whole.
        """
        held: list[Packet[VideoStream]] = []
        for packet in self._packets():
            joins = self.joins
            self._follow(packet)
            held.append(packet)
            is_seam = self.joins > joins
            if held[0].is_corrupt and not is_seam and len(held) < SEAM_PACKETS:
                continue
            yield from held if is_seam else self._undamaged(held)
            held = []
        yield from self._undamaged(held)

    def _undamaged(self, packets: list[Packet[VideoStream]]) -> list[Packet[VideoStream]]:
        self.damages += sum(packet.is_corrupt for packet in packets)
        return [packet for packet in packets if not packet.is_corrupt]

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Read all streams to the end, and yield the packets of the main one."""
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self.damages += 1
                continue
            except IndexError:  # by PyAV 18, for a stream that began after the file was opened: go on without it
                packets = self._container.demux()
                continue
            if packet is None:
                return
            if packet.pos is not None:
                self.read_to = max(self.read_to, packet.pos + packet.size)
            if packet.pts is not None and packet.time_base is not None:
                end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self.end_s = max(end_s, end_s if self.end_s is None else self.end_s)
            if packet.stream.index == self._stream.index:  # the last packets of all streams have the stream_index 0
                yield packet  # type: ignore[misc]  # so its stream is this one

    def _follow(self, packet: Packet[VideoStream]) -> None:
        """Keep account of the times of a packet."""
        dts, pts = packet.dts, packet.pts
        if dts is not None:
            if len(self._first_dts) < 3:
                self._first_dts.append(dts)
            if self._last_dts is not None and dts < self._last_dts - self._ticks(RESTART_S):
                self.joins += 1
                self._highest_pts = None
            self._last_dts = dts
        if pts is not None:
            self._reordered |= self._highest_pts is not None and pts < self._highest_pts
            self._highest_pts = max(pts, self._highest_pts or pts)
        self.discarded += bool(self.joins and packet.is_discard)


def unread_bytes(path: str, read_to: int, is_mp4: bool) -> int:
    """Return how many bytes behind the last packet hold pictures that were not read, as far as can be told.

    Behind the pictures there is an index at most, which is small, except in MP4. Another recording is recognised. Zeros
    are what a camera left that reserved room.
    """
    size = Path(path).stat().st_size
    if not read_to or read_to >= size:
        return 0
    unread, begins_recording = _scan(path, read_to)
    is_large = not is_mp4 and unread > max(UNREAD_SHARE * size, UNREAD_BYTES)
    return size - read_to if begins_recording or is_large else 0


def _scan(path: str, start: int) -> tuple[int, bool]:
    """Count the bytes from `start` on that are not zero, and tell whether the file's own signature is among them."""
    with Path(path).open("rb") as file:
        head = file.read(16)
        signature = next((mark for at, mark in SIGNATURES if head[at : at + len(mark)] == mark), None)
        file.seek(start)
        count, before = 0, b""
        while block := file.read(BLOCK):
            if signature is not None and signature in before + block:
                return count, True
            count += len(block) - block.count(0)
            before = block[-16:]
    return count, False
