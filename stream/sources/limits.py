"""What a source may contain: checked before anything is decoded or drawn."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from fractions import Fraction

# Demuxers that read one file and nothing else. Play lists and lists of files are not among them: they open whatever
# they name, and FFmpeg follows some until the process has no descriptor left. A number in a name ("%03d") is one, too.
VIDEO_FORMATS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "ogg", "asf", "mxf", "nut", "ivf", "rm", "wtv"),
    *("h264", "hevc", "vvc", "av1", "obu", "m4v", "h263", "vc1", "mjpeg", "dv", "yuv4mpegpipe", "gif", "apng", "webp"),
)
OTHER_FORMATS = ("png_pipe", "jpeg_pipe", "wav", "mp3", "flac")  # opened to say what the file is instead of a video
MAX_PX = 8192 * 4352  # of one picture: 8K
MAX_LENGTH_S = 31 * 86400.0
MIN_RATE_HZ = 0.001
ASPECTS = (Fraction(1, 4), Fraction(4))  # of a pixel; what lies outside is damage, and the pixels count as square
YEARS = range(1980, 2100)  # an unset date reads as 1904 or 1970; a far one overflows when an event's time is added


def demuxer_options() -> dict[str, str]:
    """Return the options with which FFmpeg opens a file: only known formats, no other file, no network."""
    formats = ",".join((*VIDEO_FORMATS, *OTHER_FORMATS))
    return {"format_whitelist": formats, "protocol_whitelist": "file", "max_pixels": str(MAX_PX)}


def plausible_aspect(aspect: Fraction | None) -> Fraction:
    """Return the aspect of a pixel; 1 where it is unknown or cannot be meant."""
    return aspect if aspect and ASPECTS[0] <= aspect <= ASPECTS[1] else Fraction(1)


def plausible_time(time: datetime) -> datetime | None:
    """Return a wall-clock time in UTC, which it is by default; None for a year that no recording is of."""
    if time.year not in YEARS:
        return None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Read width and height from the header of a JPEG; None if it has none."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame, not tables
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 1 if marker == 0xFF else 2 + length
    return None
