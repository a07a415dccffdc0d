"""Where frames come from: a file, an RTSP camera, a webcam, or the browser of a visitor; each has a decoding thread.

    with open_source("rtsp://user:password@192.168.0.7/stream1") as source:
        for frame in source:
            ...

A live source never waits for the analysis: its queue drops the oldest frame and counts it. A file always waits, so that
no frame is ever lost. A live source that is lost is connected again, for ever unless told otherwise; `state()` says at
any time how it fares. Every time is the frame's own, never computed from a nominal frame rate.
"""

from __future__ import annotations

import os
import re

from merau.engine.errors import UserError
from merau.stream.sources.browser import Browser
from merau.stream.sources.camera import Rtsp, Webcam, redact
from merau.stream.sources.file import File
from merau.stream.sources.source import DEFAULTS, Frame, Source, SourceSettings, SourceState

__all__ = [
    "Browser",
    "File",
    "Frame",
    "Rtsp",
    "Source",
    "SourceSettings",
    "SourceState",
    "Webcam",
    "open_source",
    "redact",
]


def open_source(spec: str, settings: SourceSettings = DEFAULTS) -> File | Rtsp | Webcam:
    """A source by what the user typed: a path, rtsp://..., a camera's number or /dev/videoN.

    A file is opened here; a camera is connected when the source is entered (`with`) or first iterated.
    Raises UserError when the text names no source, or the file cannot be read as a video.
    """
    spec = os.fspath(spec).strip()
    if spec.isdecimal():
        return Webcam(f"/dev/video{int(spec)}", settings)
    if spec.startswith("/dev/video"):
        return Webcam(spec, settings)
    if re.match(r"rtsps?:", spec, re.IGNORECASE):
        return Rtsp(spec, settings)
    if "://" in spec or not spec:
        raise UserError(
            f"'{redact(spec)}' is no source: give a video file, rtsp://HOST/PATH, a camera's number or /dev/videoN."
        )
    return File(spec, settings)
