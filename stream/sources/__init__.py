"""Sources of frames: a file, an RTSP camera, a webcam, or a visitor's browser. Each has a decoding thread.

    with open_source("rtsp://user:password@192.168.0.7/stream1") as source:
        for frame in source:
            ...

A live source never waits for the analysis: if its queue is full, the oldest frame is dropped and counted. A file always
waits, so no frame is ever lost. A lost camera is connected again, for ever unless the settings limit it; `state()`
shows the present state. Every time is the frame's own, never computed from a nominal frame rate.
"""

from __future__ import annotations

import os
import re

from merau.engine.errors import UserError
from merau.stream.sources.address import redact
from merau.stream.sources.browser import Browser
from merau.stream.sources.camera import Rtsp, Webcam
from merau.stream.sources.file import File
from merau.stream.sources.source import DEFAULT_SETTINGS, Frame, Source, SourceSettings, SourceState
from merau.stream.sources.webcams import camera_name

__all__ = [
    "Browser",
    "File",
    "Frame",
    "Rtsp",
    "Source",
    "SourceSettings",
    "SourceState",
    "Webcam",
    "is_camera",
    "open_source",
    "redact",
]

MAX_CAMERA_DIGITS = 3


def is_camera(spec: str) -> bool:
    """Whether a source is an RTSP camera or a camera of this machine, and no file."""
    spec = spec.strip()
    is_number = spec.isdecimal() and len(spec) <= MAX_CAMERA_DIGITS
    return is_number or bool(re.match(r"rtsps?:|/dev/video[\w-]*$", spec, re.IGNORECASE))


def open_source(spec: str, settings: SourceSettings = DEFAULT_SETTINGS) -> File | Rtsp | Webcam:
    """Open a source.

    A file is opened here; a camera is connected when the source is entered (`with`) or first iterated.

    Args:
        spec: Path of a video file, rtsp:// address, camera number or /dev/videoN.
        settings: How the source is opened and kept open.

    Raises:
        UserError: `spec` is not a source, or the file cannot be read as a video.
    """
    spec = os.fspath(spec).strip()
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in spec):
        raise UserError("The name of a source must not contain control characters: {name}.", name=ascii(redact(spec)))
    if spec.isdecimal() and len(spec) <= MAX_CAMERA_DIGITS:
        return Webcam(camera_name(int(spec)), settings)
    if re.fullmatch(r"/dev/video[\w-]*", spec):
        return Webcam(spec, settings)
    if re.match(r"rtsps?:", spec, re.IGNORECASE):
        return Rtsp(spec, settings)
    if "://" in spec or not spec:
        raise UserError(
            "'{name}' is not a source: give a video file, rtsp://HOST/PATH, a camera number or /dev/videoN.",
            name=redact(spec),
        )
    return File(spec, settings)
