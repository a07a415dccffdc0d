"""Turn the crops of one track into frames with motion, and learn what is usual for this person before this camera."""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from merau.stream.align import Crop
from merau.stream.spotter.baseline import NoiseFloor, ParallaxModel, RunningMedian
from merau.stream.spotter.features import (
    Flow,
    FrameFeatures,
    PatchMotion,
    extract,
    head_shift_px,
    motion_between,
    regions,
)
from merau.stream.spotter.settings import SpotterSettings
from merau.stream.spotter.trajectory import Point

HISTORY_S = 2.0
QUIET_SHARE = 0.7  # no patch counts as quieter than this share of the face's median noise floor


@dataclass(frozen=True)
class AnalysedFrame:
    """One analysed crop.

    Attributes:
        features: What is kept of the crop.
        lagged: (2, 14, 13) motion since the crop one lag earlier, crop px; None without such a crop.
        steady: The same, averaged with that of the frame before.
        calm: Whether nothing but noise moved the face.
        activity: (3,) px: root mean square of `lagged` above the cheeks, and at the mouth; turn of the head.
    """

    features: FrameFeatures
    lagged: np.ndarray | None
    steady: np.ndarray | None
    calm: bool
    activity: np.ndarray

    @property
    def t_s(self) -> float:
        """Time of the crop."""
        return self.features.crop.t_s


class FeatureExtractor:
    """Sample the crops of a track evenly, and measure motion without head, parallax and noise.

    Args:
        settings: How movements are spotted.
        flow: Measures how far the patches of a face moved.

    Attributes:
        frames: The frames of the last two seconds.
        start_s: When the present stretch without a gap began.
        floor_px: (14, 13) noise floor of each patch, each compared with the whole face.
        motion_px: Strongest facial motion over the lag.
        noise_px: Median of the noise floor.
    """

    def __init__(self, settings: SpotterSettings, flow: Flow):
        self.settings, self._flow, self.regions = settings, flow, regions(settings.crop)
        prior = np.full(self.regions.face.shape, settings.floor_prior_px)
        self._floor, self.floor_px = NoiseFloor(prior), prior
        self._aperture, self._parallax = RunningMedian(), ParallaxModel(prior.shape)
        self._pending: list[Crop] = []  # crops since the last sampled one
        self.frames: deque[AnalysedFrame] = deque()
        self.last_s = self.start_s = self.motion_px = 0.0
        self.noise_px = settings.floor_prior_px

    @property
    def usual_aperture(self) -> float:
        """The person's usual opening of the eyes over their width."""
        return self._aperture.value or 1.0

    def sample(self, crop: Crop) -> Crop | None:
        """Take the next crop; return the average of the newest where a sample is due, else None."""
        newest_s = crop.t_s - (self._pending[-1].t_s if self._pending else self.last_s)
        self._pending.append(crop)
        is_early = crop.t_s - self.last_s + newest_s / 2 < 1 / self.settings.rate_hz  # the next crop comes nearer
        if self.frames and is_early:
            return None
        self.last_s = crop.t_s
        reach_s = max(self.settings.mean_s - newest_s, 0) + 1e-3
        self._pending = [c for c in self._pending if crop.t_s - c.t_s < reach_s]
        return average_crops(self._pending)

    def analyse(self, crop: Crop, skin: np.ndarray) -> AnalysedFrame:
        """Compare a sampled crop with the one a lag before; `skin` are the patches that tell whether the face is calm.

        Learns the noise floor, the usual opening of the eyes and the depth of the face.
        """
        features = extract(crop)
        lagged = steady = None
        calm, activity = False, np.zeros(3)
        if self.frames:
            last = self.frames[-1]
            step_s = crop.t_s - last.t_s
            self._aperture.update(features.aperture, step_s)
            if past := self._features_at(crop.t_s - self.settings.lag_s):
                motion = self._facial_motion(past, features, step_s)
                lagged, activity = motion.patches, self._activity(motion)
                steady = lagged if last.lagged is None else (lagged + last.lagged) / 2
                calm = self._learn_noise(np.hypot(*steady), step_s, skin)
        else:
            self.start_s = crop.t_s
        now = AnalysedFrame(features, lagged, steady, calm, activity)
        self.frames.append(now)
        while crop.t_s - self.frames[0].t_s > HISTORY_S:
            self.frames.popleft()
        return now

    def point(self, reference: FrameFeatures, now: FrameFeatures) -> Point:
        """Measure the state of the face at `now` against the reference."""
        motion, shift_px = self._facial_motion(reference, now), head_shift_px(reference, now, self.settings.crop)
        return Point(now.crop, now.aperture, now.mouth_px, motion, shift_px)

    def _activity(self, motion: PatchMotion) -> np.ndarray:
        energy = (motion.patches**2).sum(axis=0)
        upper, mouth = (np.sqrt(energy[part].mean()) for part in (self.regions.upper, self.regions.mouth))
        return np.array([upper, mouth, np.hypot(*motion.turn)])

    def _learn_noise(self, moved_px: np.ndarray, step_s: float, skin: np.ndarray) -> bool:
        """Update the noise floor; return whether the face is calm."""
        self._floor.update(moved_px, step_s)
        face = self.regions.face
        usual_px = max(QUIET_SHARE * _median(self._floor.level[face]), self.settings.floor_min_px)
        self.floor_px = np.maximum(self._floor.level, usual_px)
        self.motion_px = float(moved_px[face].max())
        self.noise_px = _median(self.floor_px[face])
        return float((moved_px / self.floor_px)[skin].max()) < self.settings.rise_trigger

    def _facial_motion(self, before: FrameFeatures, after: FrameFeatures, learn_s: float = 0.0) -> PatchMotion:
        """Facial motion without the parallax of this person's depth, which learns from it for `learn_s` seconds."""
        motion = motion_between(before, after, self.settings.crop, self._flow)
        if learn_s:
            self._parallax.update(motion.patches, motion.turn, self.floor_px, learn_s)
        return PatchMotion(self._parallax.remove(motion.patches, motion.turn), motion.turn)

    def _features_at(self, t_s: float) -> FrameFeatures | None:
        """The features nearest to `t_s` in the history, if they are within a third of the lag."""
        after = bisect_left(self.frames, t_s, key=attrgetter("t_s"))
        nearest = min(list(self.frames)[max(after - 1, 0) : after + 1], key=lambda frame: abs(frame.t_s - t_s))
        return nearest.features if abs(nearest.t_s - t_s) <= self.settings.lag_s / 3 else None


def average_crops(crops: list[Crop]) -> Crop:
    """The middle crop with the mean of times and grey pictures: the crops are aligned, so only noise is lost."""
    middle = crops[len(crops) // 2]
    if len(crops) == 1:
        return middle
    t_s = sum(crop.t_s for crop in crops) / len(crops)
    return replace(middle, t_s=t_s, grey=np.mean([crop.grey for crop in crops], axis=0).round().astype(np.uint8))


def _median(values: np.ndarray) -> float:
    """The upper median, several times faster than `np.median` for a hundred values."""
    return float(np.partition(values, len(values) // 2)[len(values) // 2])
