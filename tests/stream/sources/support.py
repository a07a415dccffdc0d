"""Clips and helpers for the tests of sources."""

import time
import traceback
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from merau.engine.errors import UserError
from merau.stream.sources import Frame, SourceSettings, open_source, redact
from merau.stream.sources.source import DEFAULT_SETTINGS

PASSWORD = "s/e@c#r:t"
QUICK = SourceSettings(connect_timeout_s=2.0, freeze_timeout_s=1.0, backoff_first_s=0.1, backoff_limit_s=0.2)


def write_clip(
    path: Path,
    codec: str = "libx264",
    *,
    size: tuple[int, int] = (64, 48),
    times_ms: list[int] | None = None,
    pix_fmt: str = "yuv420p",
    tags: dict[str, str] | None = None,
    rotation: dict | None = None,
    aspect: Fraction | None = None,
    rate: int | None = None,
    muxer: dict[str, str] | None = None,
) -> Path:
    """A clip whose k-th frame has the brightness 40 + 4 k, and its top left quarter is red.

    Times are stored in milliseconds, or in frames if `rate` is given.
    """
    times_ms = [round(1000 * k / 30) for k in range(30)] if times_ms is None else times_ms
    with av.open(str(path), "w", options=muxer or {}) as container:
        container.metadata.update(tags or {})
        stream = container.add_stream(codec, rate=rate or 30)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, rate or 1000)
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "bf": "2", "g": "10"}
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(**rotation)
        for k, time_ms in enumerate(times_ms):
            image = np.full((size[1], size[0], 3), 40 + 4 * (k % 50), np.uint8)
            image[: size[1] // 2, : size[0] // 2] = (0, 0, 255)
            picture = av.VideoFrame.from_ndarray(image, "bgr24")
            picture.pts, picture.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        if times_ms:
            container.mux(stream.encode(None))
        else:
            container.start_encoding()
    return path


def frames_of(path: Path, settings: SourceSettings = DEFAULT_SETTINGS) -> list[Frame]:
    with open_source(str(path), settings) as source:
        return list(source)


def error_of(spec: str, settings: SourceSettings = QUICK) -> str:
    """The error of a source that cannot be opened; its whole traceback must contain no secret."""
    try:
        with open_source(spec, settings) as source:
            next(iter(source))
    except UserError as error:
        text = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)
        assert PASSWORD not in text
        assert "SECRET" not in text
        assert "s%2Fe" not in text
        return str(error)
    raise AssertionError(f"{redact(spec)} could be opened")


def wait_until(condition, limit_s: float = 15.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition never held"
        time.sleep(0.01)
