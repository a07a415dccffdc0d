"""The event model: one `Event` per facial movement, and the fields that every output carries."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from merau.engine.text import plain

Kind = Literal["micro", "macro", "blink", "head", "speech", "other"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Side = Literal["left", "right", "both", ""]  # of the person; "" where it cannot be told
SIDES: tuple[Side, ...] = get_args(Side)


@dataclass(frozen=True)
class Coding:
    """What one coder says of one event, beside what the machine said. A field of None was not stated.

    A coding is never changed: a later one of the same coder and event replaces it as a whole.

    Attributes:
        session: The event's session.
        event: The event's id; that of an event which the machine missed begins with "missed-".
        coder: Name of the coder; "" for a person who gave none.
        kind: What sort of movement it is.
        label: The class.
        aus: Numbers of the Action Units; () states that there is none.
        onset_s: Seconds as in `Event`, as for `apex_s` and `offset_s`.
        apex_s: When the movement is strongest.
        offset_s: When the movement is over.
        track: Number of the face, for a missed event.
        is_false: Whether there is no such movement.
        is_missed: Whether the coder added the event because the machine missed it.
        note: A remark.
        given: When the coding was given, ISO 8601 in UTC; "" before it is stored.
        id: Number of the coding; 0 before it is stored.
    """

    session: int
    event: str
    coder: str = ""
    kind: Kind | None = None
    label: str | None = None
    aus: tuple[str, ...] | None = None
    onset_s: float | None = None
    apex_s: float | None = None
    offset_s: float | None = None
    track: int | None = None
    is_false: bool = False
    is_missed: bool = False
    note: str = ""
    given: str = ""
    id: int = 0


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
        head_sha256: Hash of the few-shot head that classified the event; "" for the bundle's own head.
        side: On which side of the person an expression shows, in a picture that is not mirrored: "left", "right" or
            "both"; "" for other kinds, and where it is too weak to tell.
        onset_jpeg: Face crop at the onset; the images are None unless they were asked for.
        apex_jpeg: Face crop at the apex.
        flow_png: Optical flow between both, as an image.
        embedding: The trunk's output, (d,) float32 as bytes; None where the recognizer did not run.
        session: Number of the stored session; None for an event that is not stored.
        run: Name of that session's run; None as for `session`.
        participant: Whom the face shows, as far as an export was told.
        analysed_s: Seconds in which the face was analysed in that session; None where that is not known.
        partial: Whether that session was interrupted before the end of its recording.
        codings: What each coder says of the event, the newest last.
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
    head_sha256: str = ""
    side: Side = ""
    onset_jpeg: bytes | None = None
    apex_jpeg: bytes | None = None
    flow_png: bytes | None = None
    embedding: bytes | None = None
    session: int | None = None
    run: str | None = None
    participant: str | None = None
    analysed_s: float | None = None
    partial: bool = False
    codings: tuple[Coding, ...] = ()

    @property
    def coding(self) -> Coding | None:
        """The newest coding; None where nobody coded the event."""
        return self.codings[-1] if self.codings else None


IMAGES = ("onset_jpeg", "apex_jpeg", "flow_png")
BLOBS = (*IMAGES, "embedding")
# What only the store knows, or whoever exports, beside the coding.
STORED_FIELDS = ("session", "run", "participant", "analysed_s", "partial")
FIELDS = tuple(name for name in Event.__dataclass_fields__ if name not in (*BLOBS, *STORED_FIELDS, "codings"))
CODED_FIELDS = {  # fields of an export that hold a coder's word, by their names in `Coding`
    "coder": "coder",
    "given": "coded",
    "is_false": "user_false",
    "is_missed": "user_missed",
    "kind": "user_kind",
    "label": "user_label",
    "aus": "user_aus",
    "onset_s": "user_onset_s",
    "apex_s": "user_apex_s",
    "offset_s": "user_offset_s",
    "note": "user_note",
}
Labels = Literal["machine", "both", "only"]  # whose word an export has: the machine's, both, only the coders'
EXPORT_FIELDS: dict[Labels, tuple[str, ...]] = {
    "machine": (*FIELDS, *STORED_FIELDS),
    "both": (*FIELDS, *STORED_FIELDS, *CODED_FIELDS.values()),
    "only": (*FIELDS, *STORED_FIELDS, "coder", "coded", "user_missed", "user_note"),
}
NESTED = ("aus", "probabilities")
OF_MISSED = ("id", "source", "track")  # fields of a missed event that no machine stated


@dataclass(frozen=True)
class Consent:
    """What a session may be used for, when everyone in view agreed to it (ISO 8601, UTC), and perhaps how."""

    purpose: str
    given: str
    text: str = ""


@dataclass(frozen=True)
class Retention:
    """How long what a session records is kept, in hours; None keeps it until somebody deletes it.

    Attributes:
        hours: Of events, and of the session after its end.
        kinds: Of events of some kinds, in place of `hours`. The session stays as long as any of its events may.
    """

    hours: float | None = None
    kinds: dict[str, float] = field(default_factory=dict)


NO_RETENTION = Retention()


def event_fields(event: Event) -> dict[str, Any]:
    """Return the event as JSON fields, without its blobs.

    The JSON document, the live lines, the store and every export share this form. Numbers are rounded to 4 decimals;
    a number that is not finite becomes None.
    """
    return {name: to_json(getattr(event, name)) for name in FIELDS}


def export_fields(event: Event, labels: Labels = "both") -> dict[str, Any]:
    """Return the fields of an export: those of `event_fields`, then what the store and a coder know of the event.

    Args:
        event: The event; for "only" as `coding.apply_coding` returns it.
        labels: Whose word the fields hold. With "both" the machine's fields of a missed event are empty.
    """
    stored = {name: to_json(getattr(event, name)) for name in STORED_FIELDS}
    fields = event_fields(event) | stored | coding_fields(event.coding)
    if labels == "both" and event.coding and event.coding.is_missed:
        fields |= {name: {} if name in NESTED else None for name in FIELDS if name not in OF_MISSED}
    return {name: fields[name] for name in EXPORT_FIELDS[labels]}


def coding_fields(coding: Coding | None) -> dict[str, Any]:
    """Return a coding as fields of an export; all are None without one. Action Units are text, "6+12"."""
    if coding is None:
        return dict.fromkeys(CODED_FIELDS.values())
    values = {name: getattr(coding, name) for name in CODED_FIELDS}
    values["aus"] = None if coding.aus is None else "+".join(coding.aus)
    return {CODED_FIELDS[name]: to_json(value) for name, value in values.items()}


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
