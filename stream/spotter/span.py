"""The result of spotting."""

from dataclasses import dataclass
from typing import Literal

from merau.stream.align import Crop

Kind = Literal["micro", "macro", "blink", "head", "speech", "other"]
KINDS: tuple[Kind, ...] = ("micro", "macro", "blink", "head", "speech", "other")


@dataclass(frozen=True)
class Span:
    """A movement of one face; times are seconds on the source's clock.

    Attributes:
        track_id: Track of the face.
        id: Number of the movement; its provisional and final spans have the same.
        onset_s: Begin of the movement.
        apex_s: Time of its greatest strength.
        offset_s: End of the movement.
        kind: What sort of movement it is; "other" takes a provisional span back.
        strength: Mean motion of the four strongest patches from onset to apex, crop px.
        final: It will not change any more.
        onset: The crop at the onset, for the recognizer.
        apex: The crop at the apex, for the recognizer.
        probability: How likely the classifier holds this kind, 0 to 1.
    """

    track_id: int
    id: int
    onset_s: float
    apex_s: float
    offset_s: float
    kind: Kind
    strength: float
    final: bool
    onset: Crop
    apex: Crop
    probability: float
