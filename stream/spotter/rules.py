"""Measure a trajectory, and classify it by rules; where they are not certain, a second stage decides."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from merau.stream.spotter.features import FaceRegions
from merau.stream.spotter.trajectory import Trajectory

Kind = Literal["micro", "macro", "blink", "head", "speech", "other"]

MAX_MICRO_PX = 2.2  # larger movements are no micro-expressions
MIN_SNR = 2.0  # weaker movements are noise, in noise floors
LARGE_PX = 3.0  # larger sustained movements need no second stage, unless at the mouth alone, which speaks and chews
MAX_SCORE = 0.3  # no-expression score up to which the second stage accepts an expression
MAX_SCORE_IF_DOUBTFUL = 0.1  # the same for large movements, for those the head may have left, and against the rules


@dataclass(frozen=True)
class CandidateFeatures:
    """Measurements of one trajectory. Lengths are crop px; shares are 0 to 1 of the energy at the apex.

    Attributes:
        duration_s: From onset to offset.
        strength_px: Mean motion of the four strongest patches at the apex.
        snr: The same in noise floors.
        eye_px: Strongest eye patch at the apex.
        blink_px: Strongest eye patch at any time.
        upper_share: Share above the cheeks.
        face_px: Strongest patch of the face without the eyes, at the apex.
        aperture_drop: How far the eyes closed below this person's usual opening, as a share of it.
        mouth_change_px: Range of the gap between the lips.
        mouth_share: Share at the mouth.
        eye_share: Share of the skin around the eyes.
        head_shift_px: Largest motion of the head across the frame, up to the apex.
        head_rotation_px: Turn of the head from reference to apex.
        spread: Share of the face's patches that move at least half as far as the strongest.
        end_level: Level after the movement, 1 at the apex.
        peak_count: Separate peaks of the profile above one half.
        in_eye_region: The eyes are among the patches that count.
        age_s: Age of the track at the apex; the noise of a young track is not known yet.
    """

    duration_s: float
    strength_px: float
    snr: float
    eye_px: float
    blink_px: float
    upper_share: float
    face_px: float
    aperture_drop: float
    mouth_change_px: float
    mouth_share: float
    eye_share: float
    head_shift_px: float
    head_rotation_px: float
    spread: float
    end_level: float
    peak_count: int
    in_eye_region: bool
    age_s: float


def measure(
    trajectory: Trajectory, regions: FaceRegions, usual_aperture: float, track_start_s: float
) -> CandidateFeatures:
    """Measure a trajectory.

    Args:
        trajectory: The movement so far.
        regions: The parts of the face.
        usual_aperture: The person's usual opening of the eyes.
        track_start_s: Start of the track.
    """
    onset_s, apex_s, offset_s = trajectory.bounds()
    profile = trajectory.profile()
    magnitude = np.hypot(*trajectory.apex.motion.patches)
    moving = magnitude * trajectory.mask
    strongest = np.argsort((moving / trajectory.floor).ravel())[-trajectory.STRONGEST :]
    energy = moving**2
    during = [p for p in trajectory.points if onset_s - 0.1 <= p.t_s <= offset_s + 0.1] or trajectory.points
    mouth = [p.mouth_px for p in during]
    return CandidateFeatures(
        duration_s=offset_s - onset_s,
        strength_px=float(moving.ravel()[strongest].mean()),
        snr=trajectory.snr,
        eye_px=float(magnitude[regions.eyes].max()),
        blink_px=max(float(np.hypot(*p.motion.patches)[regions.eyes].max()) for p in during),
        upper_share=float(energy[regions.upper].sum() / max(energy.sum(), 1e-9)),
        face_px=float(magnitude[regions.face].max()),
        aperture_drop=1 - min(p.aperture for p in during) / usual_aperture,
        mouth_change_px=max(mouth) - min(mouth),
        mouth_share=float(energy[regions.mouth].sum() / max(energy.sum(), 1e-9)),
        eye_share=float(energy[regions.lids].sum() / max(energy.sum(), 1e-9)),
        head_shift_px=max(p.head_shift_px for p in trajectory.points[: trajectory.apex_index + 1]),
        head_rotation_px=float(np.hypot(*trajectory.apex.motion.turn)),
        spread=float((moving > 0.5 * moving.max()).sum() / regions.face.sum()),
        end_level=trajectory.end_level(),
        peak_count=int(np.sum((profile[1:] > 0.5) & (profile[:-1] <= 0.5))),
        in_eye_region=bool(np.any(trajectory.mask & regions.eyes)),
        age_s=apex_s - track_start_s,
    )


def classify_transient(candidate: CandidateFeatures, micro_max_s: float) -> Kind:
    """Classify a movement that rose and came back."""
    if candidate.in_eye_region:
        return "blink" if candidate.aperture_drop > 0.1 and candidate.duration_s < 0.7 else "other"
    if _is_noise(candidate) or not _is_single_short_hill(candidate, micro_max_s):
        return "other"
    if _is_blink(candidate):
        return "blink"
    if _is_head_motion(candidate):
        return "head"
    if _is_mouth_movement(candidate):
        return "speech"
    return "micro" if candidate.strength_px < MAX_MICRO_PX and candidate.spread < 0.4 else "other"


def classify_sustained(candidate: CandidateFeatures, micro_max_s: float) -> Kind:
    """Classify a movement that stayed."""
    if candidate.duration_s < 1.15 * micro_max_s or candidate.snr < 5 or candidate.strength_px < 0.7:
        return "other"
    if candidate.strength_px < 0.4 * candidate.head_rotation_px:
        return "head"
    return "macro"


def _is_noise(candidate: CandidateFeatures) -> bool:
    """More is asked of a young track; a speck of a few patches is noise at any age."""
    return bool(candidate.snr < MIN_SNR + 6 * np.exp(-candidate.age_s / 0.7)) or candidate.spread < 0.025


def _is_single_short_hill(candidate: CandidateFeatures, micro_max_s: float) -> bool:
    returned = candidate.end_level < 0.5 and candidate.peak_count <= 2
    return returned and candidate.duration_s <= 1.15 * micro_max_s


def _is_blink(candidate: CandidateFeatures) -> bool:
    """Whether the eyes closed, and the movement is the lids' own or pulled along by them."""
    drop = candidate.aperture_drop
    if candidate.eye_px > 1.5 * max(candidate.face_px, 1.0) or (drop > 0.1 and candidate.eye_share > 0.5):
        return True
    if drop <= 0.08 or (candidate.blink_px <= 1.0 and drop <= 0.15):
        return False
    is_weaker = candidate.strength_px < 0.4 * candidate.blink_px and candidate.eye_px > 1.2 * candidate.strength_px
    return (candidate.upper_share > 0.5 and is_weaker) or candidate.snr < 4.0


def _is_head_motion(candidate: CandidateFeatures) -> bool:
    """Whether a turn or a shift of the head can have left this much motion in the face."""
    strength_px, shift_px = candidate.strength_px, candidate.head_shift_px
    if strength_px < (0.2 if candidate.snr > 6 else 0.3) * candidate.head_rotation_px:
        return True
    return shift_px > 6 and strength_px < 0.07 * shift_px


def _is_mouth_movement(candidate: CandidateFeatures) -> bool:
    opens = candidate.mouth_change_px > 3.0
    return opens and (candidate.mouth_share > 0.7 or candidate.strength_px < 0.15 * candidate.mouth_change_px)


def needs_second_stage(kind: Kind, candidate: CandidateFeatures, micro_max_s: float) -> bool:
    """Whether the second stage may overrule the rules on a transient movement.

    It may reject a micro-expression that is not unambiguous, and accept a movement that would be one but for its
    strength, place or length.
    """
    if kind == "micro":
        return not _is_unambiguous(candidate)
    if kind == "head" or (candidate.in_eye_region and candidate.aperture_drop > 0.08):
        return False
    if candidate.snr < (1.4 if candidate.in_eye_region else 1.7) or candidate.strength_px > 1.25 * MAX_MICRO_PX:
        return False
    returned = candidate.end_level < 0.5 and candidate.peak_count <= 2
    return returned and 0.15 <= candidate.duration_s <= 1.4 * micro_max_s


def _is_unambiguous(candidate: CandidateFeatures) -> bool:
    """Whether it is no noise, speck, flash, flutter or turn of the head.

    The second stage is not asked about these, because it knows only the expressions it was trained on.
    """
    turned = candidate.strength_px < 0.5 * candidate.head_rotation_px
    small = candidate.spread < 0.05 or candidate.duration_s < 0.15
    return candidate.snr > 4 and candidate.peak_count == 1 and not small and not turned


def apply_second_stage(kind: Kind, candidate: CandidateFeatures, no_expression_score: float) -> Kind:
    """Return the kind after the second stage.

    Args:
        kind: The kind by the rules.
        candidate: The measurements.
        no_expression_score: Below 0 the face certainly shows an expression, above 1 certainly none.
    """
    score, strength_px = no_expression_score, candidate.strength_px
    if kind == "micro":
        may_be_head = candidate.head_shift_px > 4 and strength_px < 0.15 * candidate.head_shift_px
        max_score = MAX_SCORE_IF_DOUBTFUL if may_be_head or strength_px > 0.65 else MAX_SCORE
        rejected: Kind = "head" if may_be_head else "other"
        return "micro" if score <= max_score else rejected
    if kind == "macro":
        is_large = strength_px > LARGE_PX and candidate.mouth_share < 0.9
        return "macro" if score <= MAX_SCORE or is_large else "other"
    at_lids = candidate.in_eye_region and candidate.snr > 1.5 * MIN_SNR
    if at_lids and strength_px > 0.3 * candidate.head_rotation_px:  # a glance, or the lids' part of an expression
        return "micro" if score <= MAX_SCORE else kind
    return "micro" if score < MAX_SCORE_IF_DOUBTFUL else kind
