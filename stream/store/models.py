"""What the store holds beside events."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np

from merau.engine.bundle import Bundle
from merau.stream.events import Coding

RECORDING_SETTINGS = ("source", "slowdown")  # differ between recordings that are analysed in the same way


def run_name(bundle: str, bundle_sha256: str, settings: dict[str, Any]) -> str:
    """Return the name of a bundle with its settings, the same for all recordings that are analysed in the same way."""
    shared = {name: value for name, value in settings.items() if name not in RECORDING_SETTINGS}
    content = json.dumps([bundle_sha256, shared], sort_keys=True)
    return f"{bundle}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Session:
    """The analysis of one source.

    Attributes:
        id: Number of the session.
        source: Name of the source.
        started: ISO 8601 in UTC.
        ended: ISO 8601 in UTC; None while the session runs.
        wall_zero: Clock time of the source's first frame; None where the source has none.
        settings: Settings of the pipeline.
        bundle: Name of the recognizer bundle.
        bundle_sha256: Hash of the recognizer bundle.
        frames: Frames that the source gave.
        dropped: Frames that were skipped because analysis was slower than the source.
        gaps: Stretches (from_s, to_s) in which the source gave no frame.
        purpose: What the session may be used for; None for recordings and `merau watch`, which do not ask.
        consented: When everyone in view agreed, ISO 8601 in UTC; None as for `purpose`.
        retention_h: Hours after which its data is deleted; None keeps it until somebody deletes it.
        content_sha256: Hash of the recording; None for a camera.
        partial: Whether the session ended before its recording did; also true while a recording is analysed.
        end_s: Time of the last frame; None where an older version stored the session.
        name: What a person called the session; None until somebody does.
        retention_kinds: Hours in place of `retention_h` for events of some kinds.
        consent: How everyone in view agreed, where somebody said so.
    """

    id: int
    source: str
    started: str
    ended: str | None
    wall_zero: str | None
    settings: dict[str, Any]
    bundle: str
    bundle_sha256: str
    frames: int
    dropped: int
    gaps: list[tuple[float, float]]
    purpose: str | None
    consented: str | None
    retention_h: float | None
    content_sha256: str | None
    partial: bool
    end_s: float | None
    name: str | None = None
    retention_kinds: dict[str, float] = field(default_factory=dict)
    consent: str | None = None

    @property
    def run(self) -> str:
        """Name of bundle and settings: the same for all recordings that were analysed in the same way."""
        return run_name(self.bundle, self.bundle_sha256, self.settings)

    @property
    def title(self) -> str:
        """What the session is called: its name, or its source without folders."""
        return self.name or PurePath(self.source).name

    @property
    def slowdown(self) -> float:
        """Seconds of the film for each second of captured time: 1, but for slow motion and time lapse."""
        return float(self.settings.get("slowdown", 1.0))


@dataclass(frozen=True)
class Label:
    """The class that a coder gave an event, with what a few-shot head needs to learn from it.

    Attributes:
        id: Number of the coding that holds it.
        session: The event's session.
        event: The event's id.
        label: The class.
        given: When the label was given, ISO 8601 in UTC.
        bundle_sha256: The bundle that `embedding` comes from.
        embedding: (d,) float32 as bytes; None for an event on which the recognizer did not run.
        probabilities: By the bundle's own head, never by a few-shot head.
        aus: Probability of each Action Unit.
    """

    id: int
    session: int
    event: str
    label: str
    given: str
    bundle_sha256: str
    embedding: bytes | None
    probabilities: dict[str, float]
    aus: dict[str, float]

    def is_sample(self, bundle: Bundle) -> bool:
        """Whether a head for the bundle can learn from it: the bundle saw the event, and saw an expression."""
        has_units = bool(self.aus) or not bundle.card["aus"]
        return bool(self.embedding and self.probabilities and has_units) and self.bundle_sha256 == bundle.sha256


@dataclass(frozen=True)
class CodingStep:
    """One step in the history of codings: a coding that was given, or one that was undone.

    Attributes:
        coding: The coding that was given or undone.
        at: When, ISO 8601 in UTC.
        is_undo: Whether the step took the coding back.
    """

    coding: Coding
    at: str
    is_undo: bool


@dataclass(frozen=True)
class FaceTime:
    """How long one face of a session was there.

    Attributes:
        track: Number of the face.
        from_s: When it was first seen.
        to_s: When it was last seen.
        seen_s: Seconds in which it was seen.
        analysed_s: Seconds in which its motion was measured.
    """

    track: int
    from_s: float
    to_s: float
    seen_s: float
    analysed_s: float


@dataclass(frozen=True)
class MotionCurve:
    """Motion and noise floor of one face over a session.

    Attributes:
        track: Number of the face.
        bin_s: Duration of one bin; each bin holds its largest value.
        motion_px: (N,) float32 px of the crop; NaN where the face was not analysed.
        noise_px: The same for the noise floor.
    """

    track: int
    bin_s: float
    motion_px: np.ndarray
    noise_px: np.ndarray
