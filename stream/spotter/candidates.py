"""Follow every movement that was proposed, and say when it is due for classification.

What a candidate is called never decides what is followed: so training sees the candidates that a live stream has.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from merau.stream.spotter.extractor import AnalysedFrame, FeatureExtractor
from merau.stream.spotter.proposals import REVERSING, TRACK_START_S, Part, ReversalDetector, find_references
from merau.stream.spotter.trajectory import ENDED_LEVEL, HALF_LEVEL, Trajectory

Stage = Literal["apex", "held", "end", "dropped"]
LONGEST_TRANSIENT = 1.4  # micro_max_s: a movement that has not come back by then is not transient
FALLING_LEVEL = 0.9  # below this level of its profile a rise is past its apex
HELD_STEP_S = 0.1  # interval between measurements of a held expression


@dataclass(eq=False)
class Candidate:
    """A movement that is followed.

    Attributes:
        id: Its number.
        part: Where it was noticed; "face" for a rise.
        trajectory: Its course so far.
        stage: Why it is due: it is past its apex, it is held, it has ended, or it turned out to be part of another.
    """

    id: int
    part: Part
    trajectory: Trajectory
    stage: Stage = "apex"


class CandidateSet:
    """The movements of one track that are followed."""

    def __init__(self, extractor: FeatureExtractor):
        self._extractor, self._settings, self._regions = extractor, extractor.settings, extractor.regions
        self._reversals = ReversalDetector(extractor.settings)
        self.transients: list[Candidate] = []
        self.rising: Candidate | None = None  # a rise that may become a macro-expression
        self.held: Candidate | None = None  # a movement that has come to rest away from its reference
        self._last_apex_s = dict.fromkeys(REVERSING, -np.inf)  # of finished transients
        self._spans: deque[tuple[float, float]] = deque(maxlen=8)  # onset and offset of finished transients
        self._armed = True  # for a new rise; not before the last one has died down
        self._next_id = 0

    def open(self) -> list[Candidate]:
        """Every candidate that is followed."""
        return [*self.transients, *(c for c in (self.rising, self.held) if c)]

    def skin(self) -> np.ndarray:
        """The patches that show expressions: not those around the eyes while a blink pulls at them."""
        blinking = any(candidate.part == "eyes" for candidate in self.transients)
        return self._regions.face & ~self._regions.lids if blinking else self._regions.face

    def update(self, now: AnalysedFrame) -> list[Candidate]:
        """Follow all candidates to the newest frame and open new ones; returns those due for classification."""
        due = self._follow_transients(now) + self._follow_rising(now) + self._follow_held(now)
        if now.steady is not None and now.t_s - self._extractor.start_s >= self._settings.settle_s:
            due += self._open_transients(now)
            due += self._settle(now)
        return due

    def finish(self) -> list[Candidate]:
        """End every candidate as it stands."""
        due = [_at(candidate, "end") for candidate in self.open()]
        self.transients, self.rising, self.held, self._armed = [], None, None, True
        return due

    def _follow_transients(self, now: AnalysedFrame) -> list[Candidate]:
        due = []
        for candidate in self.transients:
            candidate.trajectory.add(self._extractor.point(candidate.trajectory.reference, now.features))
            if candidate.part == "brows":
                self._leave_out_lids(candidate)
        for candidate in list(self.transients):
            trajectory = candidate.trajectory
            since_apex_s = now.t_s - trajectory.apex.t_s
            onset_s, apex_s, offset_s = trajectory.bounds()
            is_back = trajectory.has_returned() and since_apex_s >= self._settings.decide_s
            if is_back or now.t_s - onset_s > LONGEST_TRANSIENT * self._settings.micro_max_s:
                self.transients.remove(candidate)
                self._last_apex_s[candidate.part] = apex_s
                self._spans.append((onset_s, offset_s))
                due.append(_at(candidate, "end" if is_back else "dropped"))  # else it is part of a sustained movement
            elif self._is_past_apex(candidate):
                due.append(_at(candidate, "apex"))
        return due

    def _follow_rising(self, now: AnalysedFrame) -> list[Candidate]:
        rising = self.rising
        if not rising:
            return []
        trajectory = rising.trajectory
        trajectory.add(self._extractor.point(trajectory.reference, now.features))
        self._leave_out_lids(rising)
        is_back = trajectory.profile()[-2:].mean() < ENDED_LEVEL
        if is_back and now.t_s - trajectory.apex.t_s >= self._settings.decide_s:
            self.rising = None
            return [_at(rising, "end")]
        return [_at(rising, "apex")] if self._is_past_apex(rising) else []

    def _follow_held(self, now: AnalysedFrame) -> list[Candidate]:
        held = self.held
        if not held or now.t_s - held.trajectory.points[-1].t_s < HELD_STEP_S:
            return []
        trajectory = held.trajectory
        trajectory.add(self._extractor.point(trajectory.reference, now.features))
        is_back = trajectory.profile()[-2:].mean() < ENDED_LEVEL
        is_too_long = now.t_s - trajectory.reference.crop.t_s > self._settings.macro_max_s
        if not is_too_long and (not is_back or now.t_s - trajectory.apex.t_s < self._settings.decide_s):
            return []
        way_back, self.held, self.rising = self.rising, None, None  # what rose meanwhile was the way back
        return [_at(held, "end"), *([_at(way_back, "dropped")] if way_back else [])]

    def _settle(self, now: AnalysedFrame) -> list[Candidate]:
        """Hold a rise that has come to rest, or open a new one."""
        if not now.calm:
            if self._armed and self.rising is None:
                self._armed = False
                self.rising = self._trace_back("face", len(self._extractor.frames) - 1, self.skin())
            return []
        self._armed = True
        rising = self.rising
        if not rising or not self._is_held(rising.trajectory):
            return []
        self.rising = None
        if self.held and self.held.trajectory.profile()[-1] > HALF_LEVEL:
            return [_at(rising, "dropped")]  # the face moved on within the expression that is held already
        ended = [_at(self.held, "end")] if self.held else []
        self.held = rising
        return [*ended, _at(rising, "held")]

    def _open_transients(self, now: AnalysedFrame) -> list[Candidate]:
        skin = self.skin()
        masks = np.stack([self._regions.eyes, self._regions.upper & skin, self._regions.lower & skin])
        due = []
        for part, rise in self._reversals.update(self._extractor, masks):
            if not self._is_new(part, self._extractor.frames[rise].t_s):
                continue
            candidate = self._trace_back(part, rise, masks[REVERSING.index(part)])
            if candidate and candidate.trajectory.apex is not candidate.trajectory.points[-1]:  # else it still rises
                self.transients.append(candidate)
                if self._is_past_apex(candidate):
                    due.append(_at(candidate, "apex"))
        return due

    def _is_new(self, part: Part, rise_s: float) -> bool:
        """Whether a movement that was rising at `rise_s` is none of those known at this part of the face."""
        open_apexes_s = (c.trajectory.apex.t_s for c in self.transients if c.part == part)
        apexes_s = (self._last_apex_s[part], *open_apexes_s, self._extractor.start_s + TRACK_START_S)
        return all(rise_s > apex_s + self._settings.lag_s for apex_s in apexes_s)

    def _trace_back(self, part: Part, rise: int, mask: np.ndarray) -> Candidate | None:
        """Go back from frame `rise` to where its movement began, and follow it from there until now.

        The reference of a rise must be a calm frame outside of transient movements; None if there is none. On the way
        back from a short movement the face is not calm, even where it stands still at its apex.
        """
        frames = list(self._extractor.frames)
        references = find_references(frames, rise, mask, self._extractor.start_s)
        if part == "face":
            references = [i for i in references if frames[i].calm and not self._is_in_transient(frames[i].t_s)]
            if not references:
                return None
        reference = frames[references[0]].features
        trajectory = Trajectory(reference, mask, self._extractor.floor_px)
        for frame in frames[references[0] + 1 :]:
            trajectory.add(self._extractor.point(reference, frame.features))
        self._next_id += 1
        return Candidate(self._next_id, part, trajectory)

    def _is_in_transient(self, t_s: float) -> bool:
        return any(onset_s < t_s < offset_s for onset_s, offset_s in self._spans)

    def _leave_out_lids(self, candidate: Candidate) -> None:
        if any(other.part == "eyes" for other in self.transients) and np.any(
            candidate.trajectory.mask & self._regions.lids
        ):
            candidate.trajectory.restrict(candidate.trajectory.mask & ~self._regions.lids)

    def _is_past_apex(self, candidate: Candidate) -> bool:
        trajectory, settings = candidate.trajectory, self._settings
        past_apex_s = trajectory.points[-1].t_s - trajectory.apex.t_s
        falls = candidate.part != "face" or bool(trajectory.profile()[-1] < FALLING_LEVEL)
        return settings.confirm_s <= past_apex_s <= settings.lag_s and falls

    def _is_held(self, trajectory: Trajectory) -> bool:
        since_onset_s = trajectory.points[-1].t_s - trajectory.bounds()[0]
        return since_onset_s > self._settings.micro_max_s and bool(trajectory.profile()[-1] > HALF_LEVEL)


def _at(candidate: Candidate, stage: Stage) -> Candidate:
    candidate.stage = stage
    return candidate
