"""What kind of movement a trajectory was: a few measurements, and the rules that name it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from merau.stream.spotter.features import FaceRegions
from merau.stream.spotter.trajectory import Trajectory

Kind = Literal["micro", "macro", "blink", "head", "speech", "other"]

MICRO_PX = 2.2  # what is larger is no micro-expression
NOISE = 2.0  # noise floors: what is fainter is nothing
LARGE_PX = 3.0  # what lasts and is larger needs no judge, unless it is of the mouth alone, which speaks and chews
DOUBT = 0.3  # of a judge, from which on a movement in question is none of an expression
CLEAR = 0.1  # the same where a judge must be sure: of what is large, what the head may have left, what rules do not see


@dataclass(frozen=True)
class CandidateFeatures:
    """Measured on a trajectory; pixels of the crop, seconds, and shares of 1."""

    duration_s: float
    rise_s: float
    strength_px: float
    snr: float  # strongest patch at the apex over its noise floor
    eye_px: float  # strongest eye patch at the apex
    blink_px: float  # strongest eye patch at any time of the trajectory
    upper_share: float  # of the energy at the apex, above the cheeks
    face_px: float
    aperture_drop: float  # how far the eyes closed below this person's usual opening, as a share of it
    mouth_change_px: float  # range of the gap between the lips
    mouth_share: float  # of the energy at the apex
    eye_share: float  # of the energy at the apex, the skin round the eyes
    head_px: float  # head motion across the picture, reference to apex
    parallax_px: float  # the turn of the head, reference to apex
    spread: float  # share of the face's patches that move at least half as far as the strongest
    residue: float  # level at the end
    lobes: int  # separate hills of the level above one half
    on_eyes: bool
    age_s: float  # of the track at the apex: a young one does not know its noise yet


def evidence(
    trajectory: Trajectory, regions: FaceRegions, neutral_aperture: float, began_s: float
) -> CandidateFeatures:
    """Measures a trajectory of a track that began at `began_s`."""
    onset_s, apex_s, offset_s = trajectory.bounds()
    level = trajectory.level()
    magnitude = np.hypot(*trajectory.apex.motion.patches)
    moving = magnitude * trajectory.mask
    strongest = np.argsort((moving / trajectory.floor).ravel())[-trajectory.STRONGEST :]
    energy = moving**2
    during = [p for p in trajectory.points if onset_s - 0.1 <= p.t_s <= offset_s + 0.1] or trajectory.points
    mouth = [p.mouth_px for p in during]
    return CandidateFeatures(
        duration_s=offset_s - onset_s,
        rise_s=apex_s - onset_s,
        strength_px=float(moving.ravel()[strongest].mean()),
        snr=trajectory.snr,
        eye_px=float(magnitude[regions.eyes].max()),
        blink_px=max(float(np.hypot(*p.motion.patches)[regions.eyes].max()) for p in during),
        upper_share=float(energy[regions.upper].sum() / max(energy.sum(), 1e-9)),
        face_px=float(magnitude[regions.face].max()),
        aperture_drop=1 - min(p.aperture for p in during) / neutral_aperture,
        mouth_change_px=max(mouth) - min(mouth),
        mouth_share=float(energy[regions.mouth].sum() / max(energy.sum(), 1e-9)),
        eye_share=float(energy[regions.lids].sum() / max(energy.sum(), 1e-9)),
        head_px=max(p.head_px for p in trajectory.points[: trajectory.peak + 1]),
        parallax_px=float(np.hypot(*trajectory.apex.motion.turn)),
        spread=float((moving > 0.5 * moving.max()).sum() / regions.face.sum()),
        residue=trajectory.rest(),
        lobes=int(np.sum((level[1:] > 0.5) & (level[:-1] <= 0.5))),
        on_eyes=bool(np.any(trajectory.mask & regions.eyes)),
        age_s=apex_s - began_s,
    )


def classify_transient(seen: CandidateFeatures, micro_max_s: float) -> Kind:
    """Names a movement that rose and came back."""
    if seen.on_eyes:
        return "blink" if seen.aperture_drop > 0.1 and seen.duration_s < 0.7 else "other"
    if seen.snr < NOISE + 6 * np.exp(-seen.age_s / 0.7) or seen.spread < 0.025:
        return "other"
    if seen.residue >= 0.5 or seen.duration_s > 1.15 * micro_max_s or seen.lobes > 2:
        return "other"
    if seen.eye_px > 1.5 * max(seen.face_px, 1.0) or (seen.aperture_drop > 0.1 and seen.eye_share > 0.5):
        return "blink"
    if seen.aperture_drop > 0.08 and (seen.blink_px > 1.0 or seen.aperture_drop > 0.15):
        pulled = (
            seen.upper_share > 0.5 and seen.strength_px < 0.4 * seen.blink_px and seen.eye_px > 1.2 * seen.strength_px
        )
        if pulled or seen.snr < 4.0:
            return "blink"
    if seen.strength_px < (0.2 if seen.snr > 6 else 0.3) * seen.parallax_px:
        return "head"
    if seen.head_px > 6 and seen.strength_px < 0.07 * seen.head_px:
        return "head"
    if seen.mouth_change_px > 3.0 and (seen.mouth_share > 0.7 or seen.strength_px < 0.15 * seen.mouth_change_px):
        return "speech"
    return "micro" if seen.strength_px < MICRO_PX and seen.spread < 0.4 else "other"


def in_question(kind: Kind, seen: CandidateFeatures, micro_max_s: float) -> bool:
    """Whether a judge of expressions may overrule the rules on a short movement: on what they take for a
    micro-expression though it does not stand out, and on what might be one but for its strength, place or length.
    """
    if kind == "micro":
        return not _stands_out(seen)
    if seen.on_eyes and seen.aperture_drop > 0.08:
        return False
    faint, large = seen.snr < (1.4 if seen.on_eyes else 1.7), seen.strength_px > 1.25 * MICRO_PX
    possible = not (kind == "head" or faint or large) and seen.residue < 0.5 and seen.lobes <= 2
    return possible and 0.15 <= seen.duration_s <= 1.4 * micro_max_s


def _stands_out(seen: CandidateFeatures) -> bool:
    """Whether it is no noise, no speck, no flash, no flutter and no turn of the head: a judge knows the expressions it
    was taught, and there are others.
    """
    turned = seen.strength_px < 0.5 * seen.parallax_px
    small = seen.spread < 0.05 or seen.duration_s < 0.15
    return seen.snr > 4 and seen.lobes == 1 and not small and not turned


def judged(kind: Kind, seen: CandidateFeatures, doubt: float) -> Kind:
    """The kind of what was `seen`, where a judge's `doubt` says whether the face expresses something: below 0 it surely
    does, above 1 it surely does not.
    """
    if kind == "micro":
        carried = seen.head_px > 4 and seen.strength_px < 0.15 * seen.head_px
        most = CLEAR if carried or seen.strength_px > 0.65 else DOUBT
        return "micro" if doubt <= most else "head" if carried else "other"
    if kind == "macro":
        large = seen.strength_px > LARGE_PX and seen.mouth_share < 0.9
        return "macro" if doubt <= DOUBT or large else "other"
    if seen.on_eyes and seen.snr > 1.5 * NOISE and seen.strength_px > 0.3 * seen.parallax_px:
        return "micro" if doubt <= DOUBT else kind  # a glance, or the lids' part of an expression
    return "micro" if doubt < CLEAR else kind


def classify_sustained(seen: CandidateFeatures, micro_max_s: float) -> Kind:
    """Names a movement that stayed."""
    if seen.duration_s < 1.15 * micro_max_s or seen.snr < 5 or seen.strength_px < 0.7:
        return "other"
    if seen.strength_px < 0.4 * seen.parallax_px:
        return "head"
    return "macro"
