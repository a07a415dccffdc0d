"""Frames for the tests of faces, and what the tracker makes of them."""

from collections.abc import Iterable

import cv2
import numpy as np

from merau.stream.faces import Face, FaceSettings, FaceTracker
from merau.stream.sources import Frame


def frames_of(images: Iterable[np.ndarray], fps: float = 30) -> list[Frame]:
    return [Frame(image, index / fps, index, 0.0) for index, image in enumerate(images)]


def track(frames: Iterable[Frame], settings: FaceSettings | None = None) -> list[tuple[Frame, list[Face]]]:
    tracker = FaceTracker(settings)
    return [(frame, tracker.update(frame)) for frame in frames]


def on_grey(image, scale, left=80, top=60, size=(640, 480)):
    """A smaller image on a grey canvas, its upper left corner at (left, top)."""
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.full((size[1], size[0], 3), 90, np.uint8)
    part = small[: size[1] - top, max(0, -left) : size[0] - left]
    canvas[top : top + part.shape[0], max(0, left) : max(0, left) + part.shape[1]] = part
    return canvas
