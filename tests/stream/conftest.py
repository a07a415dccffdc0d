from collections.abc import Callable
from typing import Any

import pytest

from merau.stream.events import Event


@pytest.fixture
def make_event() -> Callable[..., Event]:
    """An event as the pipeline says it: a micro-expression around `apex_s`, any field changed by name."""

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
