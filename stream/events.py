"""What the pipeline says: one `Event` per expression, and the fields in which every output carries it."""

import math
from dataclasses import dataclass
from typing import Any

KINDS = ("micro", "macro", "blink", "head", "speech", "other")


@dataclass(frozen=True)
class Event:
    """One facial event of one face.

    Times are seconds from the source's first frame; `onset_wall` is the same instant on the clock, ISO 8601 in UTC, None
    where the source has none. `strength` is the peak displacement in px of the 128-px crop, `aus` holds a probability per
    Action Unit number, `probabilities` one per class, `quality` is 0..1. An event is said twice under one `id`:
    provisional at the apex (`final` False, its offset an estimate), final after the offset. Pictures are None unless asked for.
    """

    id: str
    source: str
    track: int
    kind: str
    onset_s: float
    apex_s: float
    offset_s: float
    onset_wall: str | None
    strength: float
    aus: dict[str, float]
    probabilities: dict[str, float]
    label: str
    uncertain: bool
    quality: float
    final: bool
    bundle: str
    bundle_sha256: str
    onset_jpeg: bytes | None = None
    apex_jpeg: bytes | None = None
    flow_png: bytes | None = None


PICTURES = ("onset_jpeg", "apex_jpeg", "flow_png")
FIELDS = tuple(name for name in Event.__dataclass_fields__ if name not in PICTURES)


def event_fields(event: Event) -> dict[str, Any]:
    """The event as JSON fields, without its pictures: the one form that the JSON document, the live lines, the store and
    every export share. Numbers are rounded to 4 decimals; a number that is not finite becomes None."""
    return {name: _plain(getattr(event, name)) for name in FIELDS}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, bool, int)):
        return value
    number = round(float(value), 4)
    return number if math.isfinite(number) else None
