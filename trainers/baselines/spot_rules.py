"""Hand-made rules that tell movements apart: the number that a trained classifier of the spotter must beat.

Until version 0.3 the product spotted by them. Their thresholds were chosen by hand, on clips of the model "table" and
on a real stretch. The recognizer's part in them, a second stage for doubtful candidates, is left out.
"""

import numpy as np

from merau.stream.spotter import KINDS, CandidateInput, Thresholds
from merau.stream.spotter.classifier import FEATURES
from merau.stream.spotter.settings import MICRO_MAX_S

MAX_MICRO_PX = 2.2  # larger movements are no micro-expressions
MIN_SNR = 2.0  # weaker movements are noise, in noise floors
LONGEST = 1.15 * MICRO_MAX_S


class SpotRules:
    """The rules as a classifier: certain of every candidate."""

    thresholds = Thresholds()

    def __call__(self, candidates: CandidateInput) -> np.ndarray:
        """Return (N, 6) probabilities of `KINDS`, each 0 or 1."""
        kinds = [classify(dict(zip(FEATURES, row, strict=True))) for row in candidates.features.tolist()]
        return np.eye(len(KINDS))[[KINDS.index(kind) for kind in kinds]]


def classify(candidate: dict[str, float]) -> str:
    """Classify one candidate by its `FEATURES`."""
    if candidate["at_eyes"]:
        return "blink" if candidate["aperture_drop"] > 0.1 and candidate["duration_s"] < 0.7 else "other"
    transient = _transient(candidate)
    at_rise = not (candidate["at_brows"] or candidate["at_mouth"])
    return _sustained(candidate) if candidate["held"] or (at_rise and transient == "other") else transient


def _transient(candidate: dict[str, float]) -> str:
    if _is_noise(candidate) or not _is_single_short_hill(candidate):
        return "other"
    if _is_blink(candidate):
        return "blink"
    if _is_head_motion(candidate):
        return "head"
    if _is_mouth_movement(candidate):
        return "speech"
    return "micro" if candidate["strength_px"] < MAX_MICRO_PX and candidate["spread"] < 0.4 else "other"


def _sustained(candidate: dict[str, float]) -> str:
    if candidate["duration_s"] < LONGEST or candidate["snr"] < 5 or candidate["strength_px"] < 0.7:
        return "other"
    return "head" if candidate["strength_px"] < 0.4 * candidate["head_rotation_px"] else "macro"


def _is_noise(candidate: dict[str, float]) -> bool:
    """More is asked of a young track; a speck of a few patches is noise at any age."""
    least = MIN_SNR + 6 * np.exp(-candidate["age_s"] / 0.7)
    return bool(candidate["snr"] < least) or candidate["spread"] < 0.025


def _is_single_short_hill(candidate: dict[str, float]) -> bool:
    may_return = candidate["end_level"] < 0.5 or not candidate["ended"]
    return may_return and candidate["peak_count"] <= 2 and candidate["duration_s"] <= LONGEST


def _is_blink(candidate: dict[str, float]) -> bool:
    """Whether the eyes closed, and the movement is the lids' own or pulled along by them."""
    drop, strength_px = candidate["aperture_drop"], candidate["strength_px"]
    if candidate["eye_px"] > 1.5 * max(candidate["face_px"], 1.0) or (drop > 0.1 and candidate["eye_share"] > 0.5):
        return True
    if drop <= 0.08 or (candidate["blink_px"] <= 1.0 and drop <= 0.15):
        return False
    is_weaker = strength_px < 0.4 * candidate["blink_px"] and candidate["eye_px"] > 1.2 * strength_px
    return (candidate["upper_share"] > 0.5 and is_weaker) or candidate["snr"] < 4.0


def _is_head_motion(candidate: dict[str, float]) -> bool:
    """Whether a turn or a shift of the head can have left this much motion in the face."""
    strength_px, shift_px = candidate["strength_px"], candidate["head_shift_px"]
    if strength_px < (0.2 if candidate["snr"] > 6 else 0.3) * candidate["head_rotation_px"]:
        return True
    return shift_px > 6 and strength_px < 0.07 * shift_px


def _is_mouth_movement(candidate: dict[str, float]) -> bool:
    change_px = candidate["mouth_change_px"]
    return change_px > 3.0 and (candidate["mouth_share"] > 0.7 or candidate["strength_px"] < 0.15 * change_px)
