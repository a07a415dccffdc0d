from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from merau.engine.errors import Message
from merau.stream.events import Event
from merau.stream.faces import Face, Quality
from merau.stream.pipeline import FrameResult
from merau.stream.sources import Frame
from merau.stream.summary import Summary


@pytest.fixture
def make_event() -> Callable[..., Event]:
    """Make a final micro-expression around `apex_s`; any field can be changed by name."""

    def make(apex_s: float = 1.0, **changes: Any) -> Event:
        fields: dict[str, Any] = {
            "id": f"1-{apex_s}",
            "source": "interview.mp4",
            "track": 1,
            "kind": "micro",
            "onset_s": apex_s - 0.16,
            "apex_s": apex_s,
            "offset_s": apex_s + 0.2,
            "onset_wall": "2026-03-01T09:30:00.840+00:00",
            "strength": 0.8123456,
            "aus": {"4": 0.04, "6": 0.61, "12": 0.93},
            "probabilities": {"negative": 0.05, "positive": 0.83, "surprise": 0.02, "no expression": 0.1},
            "label": "positive",
            "uncertain": False,
            "quality": 0.9,
            "final": True,
            "bundle": "default",
            "bundle_sha256": "ab" * 32,
        }
        return Event(**(fields | changes))

    return make


def _face(reason: Message | None = None) -> Face:
    quality = Quality(90.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.5, reason, 1.0)
    return Face(1, np.zeros((468, 3), np.float32), quality)


@pytest.fixture
def summary(make_event) -> Summary:
    """Four seconds of one face, away at first and turned away at the end: micro, macro and blink."""
    summary = Summary("/home/ann/<script src=x> & Söhne.mp4", stated_s=4.0)
    image = np.zeros((8, 8, 3), np.uint8)
    for index in range(100):
        t_s = index / 25
        faces = [] if index < 10 else [_face(Message("the face is turned away") if index > 90 else None)]
        measured = {1: 0.2 + 0.8 * np.exp(-((t_s - 2) ** 2) / 0.02)} if 10 <= index <= 90 else {}
        summary.add(
            FrameResult(Frame(image, t_s, index, 0.0), faces, [], measured, dict.fromkeys(measured, 0.15), [], 1.0)
        )
    images = {"onset_jpeg": b"onset", "apex_jpeg": b"apex", "flow_png": b"flow"}
    events = [
        make_event(2.0, id="1-0", final=False, **images),
        make_event(2.0, id="1-0", **images),
        make_event(3.0, id="1-1", kind="macro", uncertain=True, **images),
        make_event(3.5, id="1-2", kind="blink", aus={}, probabilities={}, label="", **images),
    ]
    summary.add(FrameResult(None, [], [], {}, {}, events, 1.0))
    return summary
