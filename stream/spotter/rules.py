"""What kind of movement a course was: a few measurements, and the rules that name it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stream.spotter.course import Course
from stream.spotter.motion import Regions

Kind = Literal["micro", "macro", "blink", "head", "speech", "other"]


@dataclass(frozen=True)
class Evidence:
    """Measured on a course; pixels of the crop, seconds, and shares of 1."""

    duration_s: float
    rise_s: float
    strength_px: float
    snr: float  # strongest patch at the apex over its noise floor
    eye_px: float  # strongest eye patch at the apex
    face_px: float
    aperture_drop: float  # how far the eyes closed below this person's usual opening, as a share of it
    mouth_change_px: float  # range of the gap between the lips
    mouth_share: float  # of the energy at the apex
    head_px: float  # head motion across the picture, reference to apex
    parallax_px: float  # the turn of the head, reference to apex
    spread: float  # share of the face's patches that move at least half as far as the strongest
    residue: float  # level at the end
    lobes: int  # separate hills of the level above one half
    on_eyes: bool


def evidence(course: Course, floor: np.ndarray, regions: Regions, neutral_aperture: float) -> Evidence:
    """Measures a course; `floor` (14, 13) pixels is the noise of each patch."""
    onset_s, apex_s, offset_s = course.bounds()
    level = course.level()
    magnitude = np.hypot(*course.apex.motion.patches)
    moving = magnitude * course.mask
    energy = moving**2
    during = [p for p in course.points if onset_s - 0.1 <= p.t_s <= offset_s + 0.1] or course.points
    mouth = [p.moment.mouth_px for p in during]
    return Evidence(
        duration_s=offset_s - onset_s,
        rise_s=apex_s - onset_s,
        strength_px=course.strength_px,
        snr=float((moving / floor).max()),
        eye_px=float(magnitude[regions.eyes].max()),
        face_px=float(magnitude[regions.face].max()),
        aperture_drop=1 - min(p.moment.aperture for p in during) / neutral_aperture,
        mouth_change_px=max(mouth) - min(mouth),
        mouth_share=float(energy[regions.mouth].sum() / max(energy.sum(), 1e-9)),
        head_px=max(p.head_px for p in course.points[: course.peak + 1]),
        parallax_px=course.apex.motion.parallax_px,
        spread=float((moving[course.mask] > 0.5 * moving.max()).mean()),
        residue=float(level[-1]),
        lobes=int(np.sum((level[1:] > 0.5) & (level[:-1] <= 0.5))),
        on_eyes=bool(np.any(course.mask & regions.eyes)),
    )


def kind(seen: Evidence, *, micro_max_s: float, trigger: float) -> Kind:
    """Names the movement."""
    if seen.on_eyes:
        return "blink" if seen.aperture_drop > 0.12 and seen.duration_s < 0.7 else "other"
    if seen.snr < trigger:
        return "other"
    if seen.aperture_drop > 0.15 and seen.eye_px > 1.5 * seen.face_px:
        return "blink"
    if seen.duration_s > micro_max_s:
        return "macro"
    return "micro"
