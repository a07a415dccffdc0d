"""An RTSP camera that says what the test wants: times of frames, and of its clock in sender reports."""

import base64
import re
import socket
import struct
import threading
from contextlib import suppress
from fractions import Fraction
from typing import Self

import av
import numpy as np

NTP_EPOCH_S = 2_208_988_800  # 1 January 1970 in the time of NTP
TICKS = 90_000  # of RTP, per second


def h264_pictures(count: int) -> list[list[bytes]]:
    """The NAL units of `count` small pictures."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "yuv420p", Fraction(1, 30)
    encoder.options = {"tune": "zerolatency", "preset": "ultrafast"}
    pictures = []
    for k in range(count):
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 + k % 100, np.uint8), "bgr24")
        picture.pts = k
        pictures += [bytes(packet) for packet in encoder.encode(picture)]
    return [[unit for unit in re.split(rb"\x00\x00\x00?\x01", picture) if unit] for picture in pictures]


class ScriptedCamera:
    """Serves /cam over TCP on 127.0.0.1: an H.264 track, and a second one that only reports its clock.

    Args:
        reports: (number of the frame before which it is sent, clock of the camera in s since 1970).
        frames: How many frames it sends, 30 per second of its stream, all at once.
    """

    def __init__(self, reports: list[tuple[int, float]], frames: int = 60) -> None:
        self._reports, self._pictures = reports, h264_pictures(frames)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/cam"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with suppress(OSError), connection, connection.makefile("rb") as lines:  # the client may hang up at any time
            while request := lines.readline().decode():
                headers = dict(line.split(": ", 1) for line in iter(lambda: lines.readline().decode().strip(), ""))
                method = request.split()[0]
                connection.sendall(self._answer(method, headers))
                if method == "PLAY":
                    for message in self._messages():
                        connection.sendall(message)

    def _answer(self, method: str, headers: dict[str, str]) -> bytes:
        body, more = "", ""
        if method == "DESCRIBE":
            body, more = self._description(), "Content-Type: application/sdp\r\n"
        if method == "SETUP":
            more = f"Transport: {headers['Transport']}\r\n"
        start = f"RTSP/1.0 200 OK\r\nCSeq: {headers['CSeq']}\r\nSession: 1\r\nPublic: DESCRIBE, SETUP, PLAY\r\n"
        return f"{start}{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def _description(self) -> str:
        parameters = ",".join(base64.b64encode(unit).decode() for unit in self._pictures[0][:2])
        track = f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/{TICKS}\r\na=fmtp:96 packetization-mode=1"
        tracks = "".join(f"{track};sprop-parameter-sets={parameters}\r\na=control:track{k}\r\n" for k in (0, 1))
        return f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nt=0 0\r\n{tracks}"

    def _messages(self) -> list[bytes]:
        reports, sequence, messages = dict(self._reports), 0, []
        for k, units in enumerate(self._pictures):
            ticks = 1_000_000 + k * TICKS // 30
            if k in reports:
                messages += [_framed(channel, _report(reports[k], ticks)) for channel in (1, 3)]
            for unit in units:
                last = 0x80 if unit is units[-1] else 0
                messages.append(_framed(0, struct.pack(">BBHII", 0x80, last | 96, sequence, ticks, 7) + unit))
                sequence += 1
        return messages


def _framed(channel: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0x24, channel, len(data)) + data


def _report(clock_s: float, ticks: int) -> bytes:
    whole = int(clock_s)
    return struct.pack(">BBHIIIIII", 0x80, 200, 6, 7, whole + NTP_EPOCH_S, int((clock_s - whole) * 2**32), ticks, 0, 0)
