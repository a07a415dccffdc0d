"""What a classifier sees of a candidate, and the interface of classifiers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from merau.stream.spotter.assembler import Thresholds
from merau.stream.spotter.candidates import Candidate
from merau.stream.spotter.extractor import FeatureExtractor
from merau.stream.spotter.trajectory import HALF_LEVEL, Trajectory

STEP_S, FIRST_S, STEPS = 0.05, -0.4, 16  # times at which the motion is sampled, from the apex
CHANNELS = 2 * 14 * 13 + 6
CONTEXT_S = 1.0  # of what the face did before
SETTLED_S = 4.0  # age of a track from which it does not matter: what is learned of a face is learned

FEATURES = (
    *("duration_s", "rise_s", "elapsed_s", "age_s", "ended", "held", "at_eyes", "at_brows", "at_mouth"),
    *("strength_px", "snr", "noise_px", "spread", "end_level", "level", "peak_count", "share_of_largest"),
    *("eye_px", "blink_px", "face_px", "upper_share", "mouth_share", "eye_share", "symmetry"),
    *("aperture_drop", "mouth_change_px", "head_shift_px", "head_rotation_px", "head_speed_px"),
    *("upper_before_px", "mouth_before_px", "head_before_px", "upper_after_px", "mouth_after_px", "head_after_px"),
)


@dataclass(frozen=True)
class CandidateInput:
    """What a classifier sees of N candidates.

    Attributes:
        motion: (N, CHANNELS, STEPS) float32. Motion of each patch since the reference, in noise floors; then level of
            the profile, fall of the aperture, gap between the lips, head shift, and turn of the head right and down,
            crop px.
        mask: (N, STEPS) float32, 1 where `motion` was measured, 0 before the reference and after now.
        features: (N, len(FEATURES)) float32, see `FEATURES`.
    """

    motion: np.ndarray
    mask: np.ndarray
    features: np.ndarray

    def take(self, rows: Sequence[int]) -> "CandidateInput":
        """Return the candidates of these rows."""
        return CandidateInput(self.motion[rows], self.mask[rows], self.features[rows])


class SpanClassifier(Protocol):
    """Anything that tells kinds of movements apart. Candidates come at their apex, held, and ended.

    Attributes:
        thresholds: Probabilities from which a kind is reported.
    """

    thresholds: Thresholds

    def __call__(self, candidates: CandidateInput) -> np.ndarray:
        """Return (N, 6) probabilities of `KINDS`."""


def describe(due: Sequence[Candidate], followed: Sequence[Candidate], extractor: FeatureExtractor) -> CandidateInput:
    """Return what a classifier sees of the candidates that are due, beside all that are followed."""
    parts = [_sample(candidate.trajectory, extractor) for candidate in due]
    largest = max((c.trajectory.snr for c in (*due, *followed) if c.part != "eyes"), default=1.0)
    features = [_measure(candidate, largest, extractor) for candidate in due]
    motion, mask = (np.stack(arrays) for arrays in zip(*parts, strict=True))
    return CandidateInput(motion, mask, np.array(features, np.float32))


def _sample(trajectory: Trajectory, extractor: FeatureExtractor) -> tuple[np.ndarray, np.ndarray]:
    """Sample a trajectory around its apex by linear interpolation: (CHANNELS, STEPS) and the mask (STEPS,)."""
    points = trajectory.points
    times = np.array([point.t_s for point in points])
    wanted = trajectory.apex.t_s + FIRST_S + STEP_S * np.arange(STEPS)
    known = (wanted >= times[0] - STEP_S / 2) & (wanted <= times[-1] + STEP_S / 2)
    after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1)) if len(times) > 1 else np.zeros(1, int)
    before = np.maximum(after - 1, 0)
    share = np.clip((wanted - times[before]) / np.maximum(times[after] - times[before], 1e-6), 0, 1)
    used = np.unique(np.concatenate([before[known], after[known]]))
    rows = np.zeros((len(points), CHANNELS), np.float32)
    level, usual = trajectory.profile(), extractor.usual_aperture
    for i in used:
        point = points[i]
        rows[i, :-6] = (point.motion.patches / trajectory.floor).ravel()
        rows[i, -6:-2] = level[i], 1 - point.aperture / usual, point.mouth_px - points[0].mouth_px, point.head_shift_px
        rows[i, -2:] = point.motion.turn
    sampled = rows[before] * (1 - share)[:, None] + rows[after] * share[:, None]
    return (sampled * known[:, None]).T.astype(np.float32), known.astype(np.float32)


def _measure(candidate: Candidate, largest_snr: float, extractor: FeatureExtractor) -> list[float]:
    """Measure `FEATURES` of a candidate."""
    trajectory, regions = candidate.trajectory, extractor.regions
    onset_s, apex_s, offset_s = trajectory.bounds()
    profile, apex = trajectory.profile(), trajectory.apex
    magnitude = np.hypot(*apex.motion.patches)
    moving = magnitude * trajectory.mask
    energy = moving**2
    whole = max(float(energy.sum()), 1e-9)
    points = trajectory.points
    during = [p for p in points if onset_s - 0.1 <= p.t_s <= offset_s + 0.1] or points
    mouth = [p.mouth_px for p in during]
    before, after = _activity(extractor, onset_s - CONTEXT_S, onset_s), _activity(extractor, offset_s, np.inf)
    steps = [(abs(b.head_shift_px - a.head_shift_px), b.t_s - a.t_s) for a, b in pairwise(during)]
    speed = max((px / max(s, 1e-3) for px, s in steps), default=0.0)
    mirrored = apex.motion.patches[:, :, ::-1] * np.array([-1, 1])[:, None, None]
    age_s = min(apex_s - extractor.start_s, SETTLED_S)
    stage = [candidate.stage == name for name in ("end", "held")]
    part = [candidate.part == name for name in ("eyes", "brows", "mouth")]
    return [
        *(offset_s - onset_s, apex_s - onset_s, points[-1].t_s - apex_s, age_s, *stage, *part),
        *(trajectory.strength_px, trajectory.snr, extractor.noise_px),
        float((moving > HALF_LEVEL * moving.max()).sum() / regions.face.sum()),
        *(trajectory.end_level(), float(profile[-1])),
        float(np.sum((profile[1:] > HALF_LEVEL) & (profile[:-1] <= HALF_LEVEL))),
        trajectory.snr / max(largest_snr, 1e-6),
        *(
            float(magnitude[regions.eyes].max()),
            max(float(np.hypot(*p.motion.patches)[regions.eyes].max()) for p in during),
        ),
        float(magnitude[regions.face].max()),
        *(float(energy[part].sum()) / whole for part in (regions.upper, regions.mouth, regions.lids)),
        float((apex.motion.patches * mirrored).sum() / max(float((apex.motion.patches**2).sum()), 1e-9)),
        *(1 - min(p.aperture for p in during) / extractor.usual_aperture, max(mouth) - min(mouth)),
        *(max(p.head_shift_px for p in points[: trajectory.apex_index + 1]), float(np.hypot(*apex.motion.turn)), speed),
        *before,
        *after,
    ]


def _activity(extractor: FeatureExtractor, from_s: float, to_s: float) -> np.ndarray:
    """Mean activity of the frames between two times, (3,) px; 0 where there are none."""
    found = [frame.activity for frame in extractor.frames if from_s <= frame.t_s <= to_s]
    return np.mean(found, axis=0) if found else np.zeros(3)
