"""What the spotter says."""

from dataclasses import dataclass

from merau.stream.align import Crop
from merau.stream.spotter.rules import CandidateFeatures, Kind


@dataclass(frozen=True)
class Span:
    """A movement of one face, times in seconds of the source. The same `id` is said provisionally, then finally."""

    track_id: int
    id: int
    onset_s: float
    apex_s: float
    offset_s: float
    kind: Kind
    strength: float  # pixels of the crop: the largest mean motion of a patch at the apex
    final: bool
    onset: Crop  # the crops that the recognizer compares
    apex: Crop
    evidence: CandidateFeatures
