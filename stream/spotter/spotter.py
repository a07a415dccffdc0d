"""Spot facial movements online: crops of one face in, spans out, each provisional at its apex and final at its end.

A movement is noticed in the flow from 0.2 s before, because that flow survives a moving head: a transient movement by
the reversal of its rise, a sustained one by the rise alone. From then on it is a `Trajectory`, measured against the
crop just before it began, because there onset, apex and offset form one plain hill. Everything is causal, every window
is in seconds, and the history has a fixed length.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from itertools import islice
from operator import attrgetter
from typing import Literal

import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.validation import check, check_range
from merau.stream.align import Crop
from merau.stream.spotter.baseline import NoiseFloor, ParallaxModel, RunningMedian
from merau.stream.spotter.features import (
    Flow,
    FrameFeatures,
    PatchMotion,
    extract,
    flow_on_cpu,
    head_shift_px,
    motion_between,
    regions,
)
from merau.stream.spotter.reversal import reversal_score
from merau.stream.spotter.rules import (
    CandidateFeatures,
    Kind,
    apply_second_stage,
    classify_sustained,
    classify_transient,
    measure,
    needs_second_stage,
)
from merau.stream.spotter.span import Span
from merau.stream.spotter.speech import SpeechMerger
from merau.stream.spotter.trajectory import ENDED_LEVEL, Point, Trajectory

# No-expression score of an onset and an apex crop: below 0 the face certainly shows an expression, above 1 certainly
# none; None if the recognizer cannot say.
SecondStage = Callable[[Crop, Crop], float | None]


def no_second_stage(onset: Crop, apex: Crop) -> None:
    """Leave every decision to the rules."""


@dataclass(frozen=True)
class SpotterSettings:
    """How movements are spotted. Triggers are multiples of the person's noise floor.

    Attributes:
        crop: Layout of the crops.
        micro_max_s: Longest micro-expression from onset to offset; a longer one is a macro-expression.
        macro_max_s: An expression that is held longer is closed.
        lag_s: Time between the two crops whose flow shows a new movement.
        rate_hz: Crops that follow each other faster are averaged.
        mean_s: Length of the average that takes out the noise of video coding.
        pulse_trigger: Trigger of transient movements, as a multiple of the score that noise reaches in 10% of the time.
        blink_trigger: The same for the eyes.
        rise_trigger: Trigger of sustained movements.
        floor_prior_px: Noise floor of a new face, crop px.
        floor_min_px: Least noise floor, crop px.
        settle_s: Time from the start of a track in which nothing is spotted.
        decide_s: Time after the apex before a transient movement may be final.
    """

    crop: CropSpec = CropSpec()
    micro_max_s: float = 0.5
    macro_max_s: float = 20.0
    lag_s: float = 0.2
    rate_hz: float = 50.0
    mean_s: float = 0.05
    pulse_trigger: float = 1.1
    blink_trigger: float = 1.5
    rise_trigger: float = 3.0
    floor_prior_px: float = 0.1
    floor_min_px: float = 0.03
    settle_s: float = 0.5
    decide_s: float = 0.22

    def __post_init__(self) -> None:
        check_range(self, *(field.name for field in fields(self) if field.name != "crop"), above=0)
        check(self, "macro_max_s", self.macro_max_s > self.micro_max_s, "more than micro_max_s")


@dataclass(frozen=True)
class _AnalysedFrame:
    features: FrameFeatures
    lagged: np.ndarray | None  # (2, 14, 13) motion from lag_s before, if there was a crop
    steady: np.ndarray | None  # the same, averaged with that of the frame before
    calm: bool  # nothing but noise moved the face

    @property
    def t_s(self) -> float:
        return self.features.crop.t_s


@dataclass(frozen=True)
class _Transient:
    """A candidate for a transient movement.

    Eyes, brows and mouth have candidates of their own, so that none hides another. A candidate of the whole face is a
    rise that has turned back.
    """

    part: Literal["eyes", "brows", "mouth", "face"]
    trajectory: Trajectory


class Spotter:
    """Spot the movements of one track.

    Args:
        settings: How movements are spotted.
        second_stage: The recognizer's part: it decides where the rules are not certain.
        flow: Measures how far the patches of a face moved.

    Attributes:
        motion_px: Strongest facial motion over the lag, for display.
        noise_px: Noise floor, for display.
    """

    MAX_FRAME_GAP_S = 0.35  # a longer gap between crops ends all trajectories
    HISTORY_S = 2.0
    MIN_SHARE_OF_HELD = 0.1  # a movement below this share of an expression under way is a part of it
    MIN_SHARE_OF_LARGER = 0.3  # the same for its rise, and for a movement elsewhere in the face at the same time
    INITIAL_PULSE_P90 = 0.5  # reversal score that noise reaches in 10% of the time, until it is known
    STRONGER_RATIO = 1.3  # a parallel trajectory that is stronger by this ratio is asked about instead
    CONFIRM_S = 0.05  # past the apex before a movement is reported
    HELD_STEP_S = 0.1  # interval between measurements of a held expression
    TRACK_START_S = 0.25  # mesh and video coding still settle: these crops are no reference
    MAX_BACKTRACK_S = 1.0  # longest search for the beginning of a movement
    ONSET_MARGIN_S = 0.1  # from the reference to the first sign of motion

    def __init__(
        self,
        settings: SpotterSettings | None = None,
        second_stage: SecondStage = no_second_stage,
        flow: Flow = flow_on_cpu,
    ) -> None:
        self.settings, self._second_stage, self._flow = settings or SpotterSettings(), second_stage, flow
        self._regions = regions(self.settings.crop)
        prior = np.full(self._regions.face.shape, self.settings.floor_prior_px)
        self._rise_floor = NoiseFloor(prior)
        self._pulse_floor = NoiseFloor(np.full(3, self.INITIAL_PULSE_P90), quantile=0.9)  # of eyes, brows, mouth
        self._floor_px = prior  # the rise floor, each patch compared with the whole face
        self._aperture, self._parallax = RunningMedian(), ParallaxModel(prior.shape)
        self._history: deque[_AnalysedFrame] = deque()
        self._transients: list[_Transient] = []
        self._last_apex_s = dict.fromkeys(("eyes", "brows", "mouth", "face"), -1e9)  # of finished transients
        self._rising: Trajectory | None = None  # a rise that may become a macro-expression
        self._held: Trajectory | None = None  # a movement that has come to rest away from its reference
        self._armed = True  # for a new rise; not before the last one has died down
        self._pending: list[Crop] = []  # crops since the last analysed one
        self._last_s = 0.0
        self._start_s = 0.0
        self._next_id = 0
        self._provisional: dict[int, float] = {}  # apexes of provisional spans without a final one, by id
        self._provisional_apexes_s: deque[float] = deque(maxlen=8)
        self._speech = SpeechMerger()
        self._micros: deque[Span] = deque(maxlen=4)
        self._blinks: deque[Span] = deque(maxlen=4)
        self._head_turns: deque[Span] = deque(maxlen=4)
        self.motion_px = 0.0
        self.noise_px = self.settings.floor_prior_px

    @property
    def state(self) -> Literal["learning", "calm", "moving", "held"]:
        """For display: a face is new, nothing moves, a movement is followed, or an expression is held."""
        if self._transients or self._rising:
            return "moving"
        if self._held:
            return "held"
        return "calm" if self._last_s - self._start_s >= self.settings.settle_s else "learning"

    def push(self, crop: Crop) -> list[Span]:
        """Analyse the next crop, which must be later than the one before.

        Returns:
            New provisional and final spans; a span replaces earlier ones with its id.
        """
        newest_s = crop.t_s - (self._pending[-1].t_s if self._pending else self._last_s)
        self._pending.append(crop)
        is_early = crop.t_s - self._last_s + newest_s / 2 < 1 / self.settings.rate_hz  # the next crop comes nearer
        if self._history and is_early:
            return []
        self._last_s = crop.t_s
        reach_s = max(self.settings.mean_s - newest_s, 0) + 1e-3
        self._pending = [c for c in self._pending if crop.t_s - c.t_s < reach_s]
        crop = _average_crops(self._pending)
        spans = self.finish() if self._history and crop.t_s - self._history[-1].t_s > self.MAX_FRAME_GAP_S else []
        now = self._analyse(crop)
        spans += self._follow_transients(now)
        spans += self._follow_sustained(now)
        if not any(transient.part == "mouth" for transient in self._transients):  # it may belong to the speech
            spans += self._speech.flush(now.t_s)
        if now.steady is not None and now.t_s - self._start_s >= self.settings.settle_s:
            spans += self._open_trajectories(now)
        return spans

    def finish(self) -> list[Span]:
        """End or interrupt the stream: classify every open movement as it stands, and clear the history."""
        spans = [span for transient in self._transients for span in self._finish_transient(transient)]
        for trajectory in (self._rising, self._held):
            spans += self._finish_sustained(trajectory) if trajectory else []
        spans += self._speech.flush(np.inf)
        self._transients, self._rising, self._held, self._armed = [], None, None, True
        self._history.clear()
        return spans

    # --- measuring

    def _analyse(self, crop: Crop) -> _AnalysedFrame:
        """Compare the crop with the one a lag before, and learn what is usual for this face."""
        features = extract(crop)
        lagged = steady = None
        calm = False
        if self._history:
            last = self._history[-1]
            step_s = crop.t_s - last.t_s
            self._aperture.update(features.aperture, step_s)
            if past := self._features_at(crop.t_s - self.settings.lag_s):
                lagged = self._facial_motion(past, features, step_s).patches
                steady = lagged if last.lagged is None else (lagged + last.lagged) / 2
                calm = self._learn_noise(np.hypot(*steady), step_s)
        else:
            self._start_s = crop.t_s
        now = _AnalysedFrame(features, lagged, steady, calm)
        self._history.append(now)
        while crop.t_s - self._history[0].t_s > self.HISTORY_S:
            self._history.popleft()
        return now

    def _learn_noise(self, rise_px: np.ndarray, step_s: float) -> bool:
        """Update the noise floor; return whether the face is calm."""
        self._rise_floor.update(rise_px, step_s)
        self._floor_px = self._noise_floor()
        self.motion_px = float(rise_px[self._regions.face].max())
        self.noise_px = _median(self._floor_px[self._regions.face])
        return float((rise_px / self._floor_px)[self._expressive_patches()].max()) < self.settings.rise_trigger

    def _noise_floor(self) -> np.ndarray:
        """The noise floor of each patch; no patch counts as much quieter than the face as a whole."""
        level = self._rise_floor.level
        return np.maximum(level, max(0.7 * _median(level[self._regions.face]), self.settings.floor_min_px))

    def _facial_motion(self, before: FrameFeatures, after: FrameFeatures, learn_s: float = 0.0) -> PatchMotion:
        """Facial motion without the parallax of this person's depth, which learns from it for `learn_s` seconds."""
        motion = motion_between(before, after, self.settings.crop, self._flow)
        if learn_s:
            self._parallax.update(motion.patches, motion.turn, self._floor_px, learn_s)
        return PatchMotion(self._parallax.remove(motion.patches, motion.turn), motion.turn)

    def _features_at(self, t_s: float) -> FrameFeatures | None:
        """The features nearest to `t_s` in the history, if they are within a third of the lag."""
        after = bisect_left(self._history, t_s, key=attrgetter("t_s"))
        nearest = min(list(self._history)[max(after - 1, 0) : after + 1], key=lambda frame: abs(frame.t_s - t_s))
        return nearest.features if abs(nearest.t_s - t_s) <= self.settings.lag_s / 3 else None

    def _measure_point(self, reference: FrameFeatures, now: FrameFeatures) -> Point:
        motion, shift_px = self._facial_motion(reference, now), head_shift_px(reference, now, self.settings.crop)
        return Point(now.crop, now.aperture, now.mouth_px, motion, shift_px)

    def _expressive_patches(self) -> np.ndarray:
        """The patches that show expressions: not those around the eyes while a blink pulls at them."""
        blinking = any(transient.part == "eyes" for transient in self._transients)
        return self._regions.face & ~self._regions.lids if blinking else self._regions.face

    # --- opening trajectories

    def _open_trajectories(self, now: _AnalysedFrame) -> list[Span]:
        """Open a trajectory where a reversal, or a rise, exceeds this person's noise."""
        spans = self._open_transients(now)
        if now.calm:
            self._armed = True
            if self._rising and self._is_held(self._rising):
                spans += self._hold(self._rising)
        elif self._armed and self._rising is None:
            self._armed = False
            self._rising = self._trace_back(len(self._history) - 1, self._expressive_patches(), from_calm=True)
        return spans

    def _open_transients(self, now: _AnalysedFrame) -> list[Span]:
        first = bisect_right(self._history, now.t_s - self.settings.micro_max_s, key=attrgetter("t_s"))
        last = bisect_left(self._history, now.t_s - 0.05, key=attrgetter("t_s"))
        earlier = {first + i: frame.steady for i, frame in enumerate(islice(self._history, first, last))}
        lagged = {i: steady for i, steady in earlier.items() if steady is not None}
        if not lagged or now.lagged is None:
            return []
        skin, settings = self._expressive_patches(), self.settings
        parts: dict[Literal["eyes", "brows", "mouth"], np.ndarray] = {
            "eyes": self._regions.eyes,
            "brows": self._regions.upper & skin,
            "mouth": self._regions.lower & skin,
        }
        masks = np.stack(list(parts.values()))
        scores = reversal_score(np.stack(list(lagged.values())), now.lagged, self._floor_px, masks)
        self._pulse_floor.update(scores.max(axis=0), now.t_s - self._history[-2].t_s)
        triggers = self._pulse_floor.level * (settings.blink_trigger, settings.pulse_trigger, settings.pulse_trigger)
        spans = []
        for (part, mask), score, trigger in zip(parts.items(), scores.T, triggers, strict=True):
            rise = list(lagged)[score.argmax()]
            if score.max() <= trigger or not self._is_new(part, self._history[rise].t_s):
                continue
            trajectory = self._trace_back(rise, mask)
            if trajectory and trajectory.apex is not trajectory.points[-1]:  # else it still rises
                self._transients.append(_Transient(part, trajectory))
                if part != "eyes":
                    spans += self._report_provisional(trajectory)
        return spans

    def _is_new(self, part: str, rise_s: float) -> bool:
        """Whether a movement that was rising at `rise_s` is none of those known at this part of the face."""
        open_apexes_s = (transient.trajectory.apex.t_s for transient in self._transients if transient.part == part)
        apexes_s = (self._last_apex_s[part], *open_apexes_s, self._start_s + self.TRACK_START_S)
        return all(rise_s > apex_s + self.settings.lag_s for apex_s in apexes_s)

    def _trace_back(self, rise: int, mask: np.ndarray, *, from_calm: bool = False) -> Trajectory | None:
        """Go back from frame `rise` of the history to where its movement began, and follow it from there until now.

        With `from_calm`, the reference must be a calm frame outside of short movements; None if there is none. On the
        way back from a short movement the face is not calm, even where it stands still at its apex.
        """
        frames = list(self._history)
        first = self._onset_index(frames, rise, mask)
        near = [i for i in range(first + 1) if frames[first].t_s - frames[i].t_s <= self.ONSET_MARGIN_S]
        margin = sorted({*near, max(first - 1, 0)})  # the frame before always counts: frames may be missing
        margin = [i for i in margin if frames[i].t_s - self._start_s > self.TRACK_START_S] or [first]
        if from_calm:
            margin = [i for i in margin if frames[i].calm and not self._is_in_short_movement(frames[i].t_s)]
            if not margin:
                return None
        trajectory = Trajectory(frames[margin[0]].features, mask, self._floor_px, self._next_id)
        self._next_id += 1
        for frame in frames[margin[0] + 1 :]:
            trajectory.add(self._measure_point(trajectory.reference, frame.features))
        return trajectory

    def _is_in_short_movement(self, t_s: float) -> bool:
        return any(span.onset_s < t_s < span.offset_s for span in (*self._micros, *self._blinks))

    def _onset_index(self, frames: list[_AnalysedFrame], rise: int, mask: np.ndarray) -> int:
        """Index of the frame whose lagged flow first showed the pattern of frame `rise`."""
        steady = frames[rise].steady
        assert steady is not None
        pattern = steady * mask
        energy = float(np.vdot(pattern, pattern))
        i = rise
        while i > 0 and frames[rise].t_s - frames[i].t_s < self.MAX_BACKTRACK_S:
            before = frames[i - 1]
            if before.steady is None or before.t_s - self._start_s <= self.TRACK_START_S:
                break
            if float(np.vdot(pattern, before.steady)) < 0.15 * energy:
                break
            i -= 1
        return i

    # --- transient movements: micro-expressions, blinks, mouth movements, nods

    def _follow_transients(self, now: _AnalysedFrame) -> list[Span]:
        spans = []
        for transient in self._transients:
            trajectory = transient.trajectory
            trajectory.add(self._measure_point(trajectory.reference, now.features))
            if transient.part in ("brows", "face") and any(other.part == "eyes" for other in self._transients):
                trajectory.restrict(trajectory.mask & ~self._regions.lids)
        for transient in list(self._transients):
            trajectory = transient.trajectory
            since_apex_s = now.t_s - trajectory.apex.t_s
            is_too_long = now.t_s - trajectory.bounds()[0] > 1.4 * self.settings.micro_max_s
            is_back = trajectory.has_returned() and since_apex_s >= self.settings.decide_s
            if is_too_long or (is_back and not self._waits_for_brows_or_mouth(transient)):
                self._transients.remove(transient)
                spans += self._finish_transient(transient)
            elif transient.part != "eyes" and self.CONFIRM_S <= since_apex_s <= self.settings.lag_s:
                spans += self._report_provisional(trajectory)
        return spans

    def _waits_for_brows_or_mouth(self, transient: _Transient) -> bool:
        """Whether it is an expression at the lids that brows or mouth, whose bounds are better, have not finished."""
        apexes_s = [other.trajectory.apex.t_s for other in self._transients if other.part != "eyes"]
        trajectory = transient.trajectory
        if transient.part != "eyes" or not any(self._is_near(apex_s, trajectory.apex.t_s) for apex_s in apexes_s):
            return False
        return self._classify_transient(trajectory, self._measure(trajectory)) == "micro"

    def _report_provisional(self, trajectory: Trajectory) -> list[Span]:
        """Report the movement at its apex, if it looks like a micro-expression so far."""
        if any(self._is_near(apex_s, trajectory.apex.t_s) for apex_s in self._provisional_apexes_s):
            return []
        candidate = replace(self._measure(trajectory), end_level=0.0)  # it may still return
        if self._classify_transient(trajectory, candidate) != "micro" or self._is_part_of_larger(trajectory):
            return []
        span = self._span(trajectory, "micro", candidate, final=False)
        if _overlaps(span, self._micros) or self._speech.contains(span):
            return []
        self._provisional[trajectory.id] = trajectory.apex.t_s
        self._provisional_apexes_s.append(trajectory.apex.t_s)
        return [span]

    def _finish_transient(self, transient: _Transient) -> list[Span]:
        """Classify the movement at its offset."""
        trajectory, part = transient.trajectory, transient.part
        candidate = self._measure(trajectory)
        kind = self._classify_transient(trajectory, candidate)
        apex_s = trajectory.apex.t_s
        if part == "eyes" and abs(apex_s - self._last_apex_s["eyes"]) < SpeechMerger.SAME_MOVEMENT_S:
            kind = "other"  # the same blink, noticed a second time before its apex
        elif part != "eyes" and kind == "blink":
            kind = "other"  # blinks are reported of the eyes only
        if kind != "blink" and self._is_part_of_larger(trajectory):
            kind = "other"
        if part != "eyes":
            self._transfer_id(trajectory, kind)
        span = self._span(trajectory, kind, candidate, final=True)
        self._last_apex_s[part] = span.apex_s
        if kind == "blink":
            self._blinks.append(span)
        if part == "eyes" and kind != "micro":
            return self._drop_unreported([span])
        return self._drop_unreported(self._speech.push(self._suppress_duplicate(span)))

    def _classify_transient(self, trajectory: Trajectory, candidate: CandidateFeatures) -> Kind:
        kind = classify_transient(candidate, self.settings.micro_max_s)
        if not needs_second_stage(kind, candidate, self.settings.micro_max_s):
            return kind
        parallel = self._parallel_trajectories(trajectory)
        if kind != "micro" and any(other.snr > self.STRONGER_RATIO * trajectory.snr for other in parallel):
            return kind  # the second stage is asked about that one
        return self._vote_second_stage(trajectory, kind, candidate)

    # --- sustained movements: macro-expressions

    def _follow_sustained(self, now: _AnalysedFrame) -> list[Span]:
        return self._follow_rising(now) + self._follow_held(now)

    def _follow_rising(self, now: _AnalysedFrame) -> list[Span]:
        rising = self._rising
        if not rising:
            return []
        rising.add(self._measure_point(rising.reference, now.features))
        if any(transient.part == "eyes" for transient in self._transients):
            rising.restrict(rising.mask & ~self._regions.lids)
        if self._has_ended(rising):
            spans = self._finish_sustained(rising)
            self._rising = None
            return spans
        spans = self._report_provisional(rising) if self._is_past_apex(rising) else []
        if spans:
            self._transients.append(_Transient("face", rising.fork(self._next_id)))
            self._next_id += 1
        return spans

    def _follow_held(self, now: _AnalysedFrame) -> list[Span]:
        held = self._held
        if not held or now.t_s - held.points[-1].t_s < self.HELD_STEP_S:
            return []
        held.add(self._measure_point(held.reference, now.features))
        if not self._has_ended(held):
            return []
        spans = self._finish_sustained(held)
        spans += self._dismiss(self._rising) if self._rising else []  # what rose meanwhile was the way back
        self._held = self._rising = None
        return spans

    def _hold(self, trajectory: Trajectory) -> list[Span]:
        """Keep a movement that has come to rest away from its reference, so that a new one may begin."""
        self._rising = None
        if self._held and self._held.profile()[-1] > 0.5:
            return self._dismiss(trajectory)  # the face moved on within the expression that is held already
        spans = self._finish_sustained(self._held) if self._held else []
        self._held = trajectory
        candidate = self._measure(trajectory)
        if self._classify_sustained(trajectory, candidate) == "macro":
            self._provisional.setdefault(trajectory.id, trajectory.apex.t_s)
            spans.append(self._span(trajectory, "macro", candidate, final=False))
        return spans

    def _dismiss(self, trajectory: Trajectory) -> list[Span]:
        self._transfer_id(trajectory, "other")
        return self._drop_unreported([self._span(trajectory, "other", self._measure(trajectory), final=True)])

    def _finish_sustained(self, trajectory: Trajectory) -> list[Span]:
        candidate = self._measure(trajectory)
        kind = self._classify_sustained(trajectory, candidate)
        strong = [micro for micro in self._micros if micro.strength > 0.5 * candidate.strength_px]
        if kind == "macro" and any(self._is_near(micro.apex_s, trajectory.apex.t_s) for micro in strong):
            kind = "other"  # a micro-expression before which the face was not quite at rest
        is_micro = kind == "other" and self._classify_transient(trajectory, candidate) == "micro"
        if is_micro and not self._is_part_of_larger(trajectory):
            kind = "micro"
        self._transfer_id(trajectory, kind)
        span = self._suppress_duplicate(self._span(trajectory, kind, candidate, final=True))
        return self._drop_unreported(self._speech.push(span) if span.kind == "micro" else [span])

    def _classify_sustained(self, trajectory: Trajectory, candidate: CandidateFeatures) -> Kind:
        kind = classify_sustained(candidate, self.settings.micro_max_s)
        return self._vote_second_stage(trajectory, kind, candidate) if kind == "macro" else kind

    def _is_past_apex(self, trajectory: Trajectory) -> bool:
        past_apex_s = trajectory.points[-1].t_s - trajectory.apex.t_s
        return past_apex_s >= self.CONFIRM_S and bool(trajectory.profile()[-1] < 0.9)

    def _has_ended(self, trajectory: Trajectory) -> bool:
        t_s = trajectory.points[-1].t_s
        is_back = trajectory.profile()[-2:].mean() < ENDED_LEVEL and t_s - trajectory.apex.t_s >= self.settings.decide_s
        return bool(is_back) or t_s - trajectory.reference.crop.t_s > self.settings.macro_max_s

    def _is_held(self, trajectory: Trajectory) -> bool:
        since_onset_s = trajectory.points[-1].t_s - trajectory.bounds()[0]
        return since_onset_s > self.settings.micro_max_s and bool(trajectory.profile()[-1] > 0.5)

    # --- trajectories of one movement, and one report of it

    def _parallel_trajectories(self, trajectory: Trajectory) -> list[Trajectory]:
        """Other trajectories of the same movement: its rise, and its reversals at brows and mouth."""
        others = [transient.trajectory for transient in self._transients if transient.part != "eyes"]
        apex_s = self._reported_apex_s(trajectory)
        return [
            other
            for other in (*others, self._rising, self._held)
            if other and other is not trajectory and self._is_near(self._reported_apex_s(other), apex_s)
        ]

    def _reported_apex_s(self, trajectory: Trajectory) -> float:
        """The apex as it was reported, because a rise that goes on moves its apex along."""
        return self._provisional.get(trajectory.id, trajectory.apex.t_s)

    def _is_near(self, apex_s: float, other_s: float) -> bool:
        return abs(apex_s - other_s) < self.settings.lag_s

    def _is_part_of_larger(self, trajectory: Trajectory) -> bool:
        """Whether it is a small part of a held expression, of its rise, or of a larger movement beside it."""
        reference_s, apex_s = trajectory.reference.crop.t_s, trajectory.apex.t_s
        larger = [
            (other, self.MIN_SHARE_OF_LARGER if other.is_rising(reference_s) else self.MIN_SHARE_OF_HELD)
            for other in (self._held, self._rising)
            if other
        ]
        for transient in self._transients:
            if transient.part != "eyes":
                onset_s, _, offset_s = transient.trajectory.bounds()
                if onset_s < apex_s < offset_s:
                    larger.append((transient.trajectory, self.MIN_SHARE_OF_LARGER))
        return any(trajectory.snr < share * other.snr for other, share in larger)

    def _transfer_id(self, trajectory: Trajectory, kind: Kind) -> None:
        """Keep the id under which a movement was first reported, whichever of its trajectories is classified first.

        A trajectory that is a micro-expression takes the id; one that is nothing leaves it to those still open.
        """
        for other in self._parallel_trajectories(trajectory):
            own_reported, other_reported = trajectory.id in self._provisional, other.id in self._provisional
            takes, leaves = kind == "micro" and other_reported, kind == "other" and own_reported
            if takes != leaves and other_reported != own_reported:
                other.id, trajectory.id = trajectory.id, other.id
                return

    def _suppress_duplicate(self, span: Span) -> Span:
        """Let each micro-expression and each turn of the head count once, whichever trajectory shows it first."""
        if span.kind not in ("micro", "head"):
            return span
        known = self._micros if span.kind == "micro" else self._head_turns
        if _overlaps(span, known):  # the same movement, or the way back from it
            return replace(span, kind="other")
        known.append(span)
        return span

    def _drop_unreported(self, spans: list[Span]) -> list[Span]:
        """Drop spans of kind "other", unless they correct a reported one."""
        micro_ids = {span.id for span in self._micros}
        kept = [s for s in spans if s.kind != "other" or s.id in self._provisional or s.id in micro_ids]
        for span in kept:
            if span.final:
                self._provisional.pop(span.id, None)
        return kept

    # --- second stage and spans

    def _vote_second_stage(self, trajectory: Trajectory, kind: Kind, candidate: CandidateFeatures) -> Kind:
        """The majority of five crops around the apex, because no single crop may decide.

        Only an apex that certainly shows no expression decides alone.
        """
        onset, apex = self._onset_and_apex(trajectory)
        middle = next(i for i, point in enumerate(trajectory.points) if point.crop is apex)
        votes: list[Kind] = []
        for i in (middle, middle - 1, middle + 1, middle - 2, middle + 2):
            if not 0 < i < len(trajectory.points):
                continue
            if (score := self._second_stage(onset, trajectory.points[i].crop)) is None:
                return kind
            votes.append(apply_second_stage(kind, candidate, score))
            if votes.count(votes[-1]) == 3 or (i == middle and score > 1):
                return votes[-1]
        return max(votes, key=votes.count)

    def _onset_and_apex(self, trajectory: Trajectory) -> tuple[Crop, Crop]:
        onset_s, apex_s, _ = trajectory.bounds()
        return trajectory.nearest(onset_s).crop, trajectory.nearest(apex_s).crop

    def _measure(self, trajectory: Trajectory) -> CandidateFeatures:
        return measure(trajectory, self._regions, self._aperture.value or 1.0, self._start_s)

    def _span(self, trajectory: Trajectory, kind: Kind, candidate: CandidateFeatures, *, final: bool) -> Span:
        onset_s, apex_s, offset_s = trajectory.bounds()
        onset, apex = self._onset_and_apex(trajectory)
        return Span(
            track_id=apex.track_id,
            id=trajectory.id,
            onset_s=onset_s,
            apex_s=apex_s,
            offset_s=offset_s,
            kind=kind,
            strength=candidate.strength_px,
            final=final,
            onset=onset,
            apex=apex,
            features=candidate,
        )


def _average_crops(crops: list[Crop]) -> Crop:
    """The middle crop with the mean of times and grey pictures: the crops are aligned, so only noise is lost."""
    middle = crops[len(crops) // 2]
    if len(crops) == 1:
        return middle
    t_s = sum(crop.t_s for crop in crops) / len(crops)
    return replace(middle, t_s=t_s, grey=np.mean([crop.grey for crop in crops], axis=0).round().astype(np.uint8))


def _overlaps(span: Span, others: Iterable[Span]) -> bool:
    return any(min(span.offset_s, other.offset_s) > max(span.onset_s, other.onset_s) for other in others)


def _median(values: np.ndarray) -> float:
    """The upper median, several times faster than `np.median` for a hundred values."""
    return float(np.partition(values, len(values) // 2)[len(values) // 2])
