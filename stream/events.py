"""The event model: one `Event` per facial movement, and the fields that every output carries."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from merau.engine.text import plain

Kind = Literal["micro", "macro", "blink", "head", "speech", "other"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Event:
    """One facial movement of one face.

    An event is reported twice under one `id`: provisional at its apex, with an estimated offset, and final after its
    offset.

    Attributes:
        id: Unique within a session.
        source: Name of the source.
        track: Number of the face.
        kind: What sort of movement it is.
        onset_s: Seconds from a camera's first frame or a recording's zero, as for `apex_s` and `offset_s`.
        apex_s: When the movement is strongest.
        offset_s: When the movement is over.
        onset_wall: The onset by the clock (ISO 8601, UTC); None where the source has no clock time.
        strength: How far the strongest patches moved, in px of a 128-px crop.
        aus: Probability of each Action Unit, by its number.
        probabilities: Probability of each class.
        label: The most likely class.
        uncertain: Whether no class is likely enough to be named.
        quality: How well the face suits analysis, 0 to 1.
        final: Whether the offset is known.
        bundle: Name of the recognizer bundle.
        bundle_sha256: Hash of the recognizer bundle.
        onset_jpeg: Face crop at the onset; the images are None unless they were asked for.
        apex_jpeg: Face crop at the apex.
        flow_png: Optical flow between both, as an image.
        embedding: The trunk's output, (d,) float32 as bytes; None where the recognizer did not run.
        session: Number of the stored session; None for an event that is not stored.
        partial: Whether that session was interrupted before the end of its recording.
        user_label: The class that a person gave the event; None where nobody did.
    """

    id: str
    source: str
    track: int
    kind: Kind
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
    embedding: bytes | None = None
    session: int | None = None
    partial: bool = False
    user_label: str | None = None


IMAGES = ("onset_jpeg", "apex_jpeg", "flow_png")
BLOBS = (*IMAGES, "embedding")
STORED_FIELDS = ("session", "partial", "user_label")  # what only the store knows
FIELDS = tuple(name for name in Event.__dataclass_fields__ if name not in (*BLOBS, *STORED_FIELDS))
EXPORT_FIELDS = (*FIELDS, *STORED_FIELDS)


@dataclass(frozen=True)
class Consent:
    """What a session may be used for, and when everyone in view agreed to it (ISO 8601, UTC)."""

    purpose: str
    given: str


def event_fields(event: Event) -> dict[str, Any]:
    """Return the event as JSON fields, without its blobs.

    The JSON document, the live lines, the store and every export share this form. Numbers are rounded to 4 decimals;
    a number that is not finite becomes None.
    """
    return {name: to_json(getattr(event, name)) for name in FIELDS}


def export_fields(event: Event) -> dict[str, Any]:
    """Return the fields of an export: those of `event_fields`, then what the store knows of the event."""
    return event_fields(event) | {name: to_json(getattr(event, name)) for name in STORED_FIELDS}


def sort_key(event: Event) -> tuple[float, str]:
    """Sort events by onset, in the store and outside it."""
    return round(event.onset_s, 4), event.id


def to_json(value: Any) -> Any:
    """Convert a field's value to what JSON holds; text becomes one line without control characters."""
    if isinstance(value, dict):
        return {plain(str(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, str):
        return plain(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    number = round(float(value), 4)
    return number if math.isfinite(number) else None
