from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from merau.stream.service.events import CameraEvent

Happen = Callable[..., CameraEvent]
ZERO = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def happen(make_event) -> Happen:
    """Make the final report of a camera's event."""

    def make(number: int = 1, camera: str = "door", group: str = "hall", **changes: Any) -> CameraEvent:
        label, likely = changes.pop("label", "negative"), changes.pop("probability", 0.8)
        said = {"label": label, "probabilities": {label: likely}, "final": True, "kind": "micro", "uncertain": False}
        event = make_event(float(number), **(said | {"id": f"1-{number}"} | changes))
        return CameraEvent(camera, group, 1, event, ZERO.replace(second=number % 60))

    return make
