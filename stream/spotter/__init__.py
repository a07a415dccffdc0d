"""Online spotting: crops of one face in, spans out, each said twice.

A movement is noticed on the flow from 0.2 s ago, because that survives a moving head; from then on it is a `Course`,
measured against the crop just before it began, because that shows onset, apex and offset as one plain hill.
Everything is causal, every window is in seconds, memory is a ring of a few seconds.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from calib.baseline import Neutral, NoiseFloor
from engine.crop import CropSpec
from engine.errors import UserError
from stream.align import Crop
from stream.spotter.course import Course, Point
from stream.spotter.motion import Moment, Motion, head_px, moment, motion, regions
from stream.spotter.rules import Evidence, Kind, evidence, kind

__all__ = ["Kind", "Span", "Spotter", "SpotterSettings"]


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
    evidence: Evidence


@dataclass(frozen=True)
class SpotterSettings:
    """Times in seconds, motion in pixels of the crop, thresholds in multiples of the person's noise floor."""

    crop: CropSpec = CropSpec()
    micro_max_s: float = 0.5  # onset to offset; longer is macro
    lag_s: float = 0.2
    rate_max_hz: float = 80.0  # crops that follow each other faster than this are not analysed
    trigger: float = 3.0
    floor_prior_px: float = 0.1
    floor_min_px: float = 0.03
    settle_s: float = 0.5  # of a track before it speaks
    confirm_s: float = 0.06  # after the apex before it is said
    decide_s: float = 0.3  # after the apex before it is final
    macro_max_s: float = 20.0

    def __post_init__(self) -> None:
        for name in ("micro_max_s", "lag_s", "rate_max_hz", "trigger", "floor_prior_px", "floor_min_px", "macro_max_s"):
            if not getattr(self, name) > 0:
                raise UserError(f"SpotterSettings.{name} is {getattr(self, name)}: choose a value above 0.")
        if self.macro_max_s <= self.micro_max_s:
            raise UserError(f"SpotterSettings.macro_max_s is {self.macro_max_s}: choose more than micro_max_s.")


@dataclass(frozen=True)
class _Seen:
    moment: Moment
    lag: Motion | None  # against the moment lag_s before, if there is one

    @property
    def t_s(self) -> float:
        return self.moment.crop.t_s


class Spotter:
    """Follows one track. `motion_px` and `noise_px` are what it sees now, for display."""

    GAP_S = 0.35  # a longer gap between crops ends what was being followed
    RING_S = 2.5

    def __init__(self, settings: SpotterSettings | None = None):
        self.settings = settings or SpotterSettings()
        self._regions = regions(self.settings.crop)
        self._noise = NoiseFloor(np.full(self._regions.face.shape, self.settings.floor_prior_px))
        self._aperture = Neutral()
        self._ring: deque[_Seen] = deque()
        self._courses: dict[str, Course] = {}  # at most one on the face and one on the eyes
        self._ended: dict[str, float] = {"face": -1e9, "eyes": -1e9}
        self._recent: deque[Span] = deque(maxlen=16)
        self._began_s: float | None = None
        self._next_id = 0
        self.motion_px = 0.0
        self.noise_px = self.settings.floor_prior_px

    def push(self, crop: Crop) -> list[Span]:
        """What is to be said after `crop`, which must be later than the one before."""
        if self._ring and crop.t_s - self._ring[-1].t_s < 1 / self.settings.rate_max_hz - 1e-4:
            return []
        spans = self.finish() if self._ring and crop.t_s - self._ring[-1].t_s > self.GAP_S else []
        now = self._see(crop)
        for name, course in list(self._courses.items()):
            course.add(self._point(course.reference, now.moment))
            spans += self._advance(name, course)
        self._trigger(now)
        return spans

    def finish(self) -> list[Span]:
        """The stream ends or breaks here: what is open is judged as it stands, and the ring is emptied."""
        spans = []
        for name, course in list(self._courses.items()):
            spans += self._close(name, course)
        self._ring.clear()
        self._began_s = None
        return spans

    def _see(self, crop: Crop) -> _Seen:
        now = moment(crop)
        if not self._ring:
            self._began_s = crop.t_s
        else:
            self._aperture.update(now.aperture, crop.t_s - self._ring[-1].t_s)
        past = self._at(crop.t_s - self.settings.lag_s)
        lag = motion(past, now, self.settings.crop) if past else None
        seen = _Seen(now, lag)
        self._ring.append(seen)
        while crop.t_s - self._ring[0].t_s > self.RING_S:
            self._ring.popleft()
        return seen

    def _at(self, t_s: float) -> Moment | None:
        """The moment of the ring nearest to `t_s`, if it is within a quarter of the lag."""
        if not self._ring:
            return None
        nearest = min(self._ring, key=lambda seen: abs(seen.t_s - t_s))
        return nearest.moment if abs(nearest.t_s - t_s) <= self.settings.lag_s / 3 else None

    def _floor(self) -> np.ndarray:
        """The noise floor of each patch; no patch is believed to be much quieter than the face as a whole."""
        level = self._noise.level
        return np.maximum(level, max(0.7 * float(np.median(level[self._regions.face])), self.settings.floor_min_px))

    def _trigger(self, now: _Seen) -> None:
        if now.lag is None or len(self._ring) < 2:
            return
        before = self._ring[-2].lag
        patches = now.lag.patches if before is None else (now.lag.patches + before.patches) / 2
        magnitude = np.hypot(*patches)
        self._noise.update(magnitude, now.t_s - self._ring[-2].t_s)
        floor = self._floor()
        self.motion_px = float(magnitude[self._regions.face].max())
        self.noise_px = float(np.median(floor[self._regions.face]))
        assert self._began_s is not None
        if now.t_s - self._began_s < self.settings.settle_s:
            return
        for name, mask in (("face", self._regions.face), ("eyes", self._regions.eyes)):
            refractory = now.t_s - self._ended[name] < self.settings.lag_s
            if name not in self._courses and not refractory and (magnitude / floor)[mask].max() > self.settings.trigger:
                self._open(name, mask)

    def _open(self, name: str, mask: np.ndarray) -> None:
        """Goes back to where this movement began and follows it from there."""
        seen = list(self._ring)
        start = self._beginning(seen, mask, self._ended[name])
        course = Course(seen[start].moment, mask, self._next_id)
        self._next_id += 1
        later = seen[start + 1 :]
        for s in later[:: -max(1, len(later) // 8)][::-1]:
            course.add(self._point(course.reference, s.moment))
        self._courses[name] = course

    def _beginning(self, seen: list[_Seen], mask: np.ndarray, not_before_s: float) -> int:
        """Index of the last moment before the lag flow began to show the pattern that it shows now, less a margin."""
        assert seen[-1].lag is not None
        pattern = seen[-1].lag.patches * mask
        energy = max(float(np.vdot(pattern, pattern)), 1e-9)
        i = len(seen) - 1
        while i > 0 and seen[i - 1].lag is not None and seen[-1].t_s - seen[i].t_s < 1.0:
            if float(np.vdot(pattern, seen[i - 1].lag.patches)) / energy < 0.15:  # type: ignore[union-attr]
                break
            i -= 1
        onset_s = seen[i].t_s
        while i > 0 and onset_s - seen[i].t_s < 0.08 and seen[i - 1].t_s > not_before_s:
            i -= 1
        return i

    def _point(self, reference: Moment, now: Moment) -> Point:
        spec = self.settings.crop
        return Point(now, motion(reference, now, spec), head_px(reference, now, spec))

    def _advance(self, name: str, course: Course) -> list[Span]:
        """Says the course at its apex, decides on it once it has come back or has lasted too long to be micro."""
        t_s, level = course.points[-1].t_s, course.level()
        since_apex_s = t_s - course.apex.t_s
        onset_s, _, _ = course.bounds()
        fallen = level[-2:].mean() < 0.25
        if fallen and since_apex_s >= self.settings.decide_s or t_s - onset_s > self.settings.macro_max_s:
            return self._close(name, course)
        lasting = t_s - onset_s > self.settings.micro_max_s + 0.1 and level[-1] > 0.5
        said: Kind | None = "macro" if lasting else "micro" if since_apex_s >= self.settings.confirm_s else None
        if said and course.said != said and course.said != "macro" and name == "face":
            span = self._span(course, final=False)
            if span.kind in ("micro", "macro"):
                course.said = said
                return [replace(span, kind=said)]
        return []

    def _close(self, name: str, course: Course) -> list[Span]:
        del self._courses[name]
        span = self._span(course, final=True)
        self._ended[name] = course.points[-1].t_s
        self._recent.append(span)
        if course.said is None and span.kind == "other":
            return []
        return [span]

    def _span(self, course: Course, *, final: bool) -> Span:
        onset_s, apex_s, offset_s = course.bounds()
        seen = evidence(course, self._floor(), self._regions, self._aperture.value or 1.0)
        onset = min(course.points, key=lambda p: abs(p.t_s - onset_s)).moment.crop
        apex = course.apex.moment.crop
        what = kind(seen, micro_max_s=self.settings.micro_max_s, trigger=self.settings.trigger)
        return Span(
            apex.track_id, course.id, onset_s, apex_s, offset_s, what, course.strength_px, final, onset, apex, seen
        )
