"""Online spotting: crops of one face in, spans out, each said twice.

A movement is noticed on the flow from 0.2 s ago, because that survives a moving head: a short one by its `pulse`, a
lasting one by its rise. From then on it is a `Trajectory`, measured against the crop just before it began, because that
shows onset, apex and offset as one plain hill. Everything is causal, every window is in seconds, memory is a ring.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from typing import Literal

import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.stream.align import Crop
from merau.stream.spotter.baseline import NoiseFloor, ParallaxModel, RunningMedian
from merau.stream.spotter.features import (
    Flow,
    FrameFeatures,
    PatchMotion,
    extract,
    flow_on_cpu,
    head_px,
    motion_between,
    regions,
)
from merau.stream.spotter.reversal import reversal_score
from merau.stream.spotter.rules import (
    CandidateFeatures,
    Kind,
    classify_sustained,
    classify_transient,
    evidence,
    in_question,
    judged,
)
from merau.stream.spotter.span import Span
from merau.stream.spotter.speech import Speech
from merau.stream.spotter.trajectory import ENDED, Point, Trajectory

Judge = Callable[[Crop, Crop], float | None]  # of an onset and an apex, None where it cannot tell


def no_word(onset: Crop, apex: Crop) -> None:
    """A judge that never tells."""


@dataclass(frozen=True)
class SpotterSettings:
    """Times in seconds, motion in pixels of the crop, thresholds in multiples of the person's noise floor."""

    crop: CropSpec = CropSpec()
    micro_max_s: float = 0.5  # onset to offset; longer is macro
    macro_max_s: float = 20.0  # an expression that is held longer is closed
    lag_s: float = 0.2
    rate_hz: float = 50.0  # of looks at crops that follow each other faster
    mean_s: float = 0.05  # what is looked at is the mean of so many seconds, which takes out the noise of their coding
    pulse_trigger: float = 1.1  # times what noise reaches a tenth of the time
    blink_trigger: float = 1.5  # the same, at the eyes
    rise_trigger: float = 3.0
    floor_prior_px: float = 0.1
    floor_min_px: float = 0.03
    settle_s: float = 0.5  # of a track before it speaks
    decide_s: float = 0.22  # after the apex before a short movement is final

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and not value > 0:
                raise UserError(f"SpotterSettings.{name} is {value}: choose a value above 0.")
        if self.macro_max_s <= self.micro_max_s:
            raise UserError(f"SpotterSettings.macro_max_s is {self.macro_max_s}: choose more than micro_max_s.")


@dataclass(frozen=True)
class _Seen:
    moment: FrameFeatures
    lag: np.ndarray | None  # (2, 14, 13) motion from lag_s before, if there was a crop
    steady: np.ndarray | None  # the same, averaged with the moment before
    calm: bool  # nothing but noise moved the face

    @property
    def t_s(self) -> float:
        return self.moment.crop.t_s


@dataclass(frozen=True)
class _Short:
    """A pulse that is being decided on the eyes, the brows or the mouth, each their own, so that none hides another;
    or a rise of the face that has turned.
    """

    name: str
    trajectory: Trajectory


def _mean(crops: list[Crop]) -> Crop:
    """The middle one of `crops`, with the mean of their times and of their grey pictures: only noise goes, for they are
    aligned.
    """
    middle = crops[len(crops) // 2]
    if len(crops) == 1:
        return middle
    t_s = sum(crop.t_s for crop in crops) / len(crops)
    return replace(middle, t_s=t_s, grey=np.mean([crop.grey for crop in crops], axis=0).round().astype(np.uint8))


def _overlaps(span: Span, others: Iterable[Span]) -> bool:
    return any(min(span.offset_s, other.offset_s) > max(span.onset_s, other.onset_s) for other in others)


def _median(values: np.ndarray) -> float:
    """The upper median, several times faster than np.median on a hundred values."""
    return float(np.partition(values, len(values) // 2)[len(values) // 2])


class Spotter:
    """Follows one track. `motion_px` and `noise_px` are what it sees now, for display.

    `judge` says how much it doubts that a face expresses something between an onset and an apex crop: below 0 it surely
    does, above 1 it surely does not. It overrules the rules where they are in doubt; without its word they stand.
    `flow` measures how far the patches of a face moved.
    """

    GAP_S = 0.35  # a longer gap between crops ends what was being followed
    RING_S = 2.0
    WOBBLE = 0.1  # of an expression under way: a movement smaller than this is a part of it
    PART = 0.3  # the same of its rise, and of what moves elsewhere in the face at once
    PULSE = 0.5  # strength in rise floors that noise reaches a tenth of the time, until it is known
    CLEARER = 1.3  # times the strength of another trajectory of the same movement
    CONFIRM_S = 0.05  # past the apex before a rise is said
    HELD_STEP_S = 0.1  # between looks at an expression that is being held
    START_S = 0.25  # of a track or of a stream, when mesh and video coding still settle: no reference
    BACK_S = 1.0  # how far back a beginning is looked for
    MARGIN_S = 0.1  # from the reference to the first sign of motion

    def __init__(
        self,
        settings: SpotterSettings | None = None,
        judge: Judge | None = None,
        flow: Flow = flow_on_cpu,
    ) -> None:
        self.settings, self._judge, self._flow = settings or SpotterSettings(), judge or no_word, flow
        self._regions = regions(self.settings.crop)
        prior = np.full(self._regions.face.shape, self.settings.floor_prior_px)
        self._rise_floor = NoiseFloor(prior)
        self._pulse_floor = NoiseFloor(np.full(3, self.PULSE), quantile=0.9)  # of eyes, brows, mouth
        self._rise_px = prior  # what the rise floor says, each patch checked against the whole face
        self._aperture, self._depth = RunningMedian(), ParallaxModel(prior.shape)
        self._ring: deque[_Seen] = deque()
        self._short: list[_Short] = []
        self._apex_s = {"eyes": -1e9, "brows": -1e9, "mouth": -1e9, "face": -1e9}  # of the last pulse that was decided
        self._lasting: Trajectory | None = None  # a rise that may become a macro-expression
        self._held: Trajectory | None = None  # one that has come to rest away from where it began
        self._armed = True  # for a new rise; not before the last one has died down
        self._pending: list[Crop] = []  # since the last one that was analysed
        self._last_s = 0.0
        self._began_s = 0.0
        self._next_id = 0
        self._said: dict[int, float] = {}  # apexes of what was said provisionally and waits for its final word, by id
        self._said_apexes_s: deque[float] = deque(maxlen=8)
        self._speech = Speech()
        self._told: deque[Span] = deque(maxlen=4)  # micro-expressions
        self._blinks: deque[Span] = deque(maxlen=4)
        self._turns: deque[Span] = deque(maxlen=4)  # and nods, of the head
        self.motion_px = 0.0
        self.noise_px = self.settings.floor_prior_px

    @property
    def state(self) -> Literal["learning", "calm", "moving", "held"]:
        """For display: a new face is learned, nothing moves, a movement is followed, an expression is being held."""
        if self._short or self._lasting:
            return "moving"
        if self._held:
            return "held"
        return "calm" if self._last_s - self._began_s >= self.settings.settle_s else "learning"

    def push(self, crop: Crop) -> list[Span]:
        """What is to be said after `crop`, which must be later than the one before."""
        newest_s = crop.t_s - (self._pending[-1].t_s if self._pending else self._last_s)
        self._pending.append(crop)
        if self._ring and crop.t_s - self._last_s + newest_s / 2 < 1 / self.settings.rate_hz:  # the next comes nearer
            return []
        self._last_s = crop.t_s
        reach_s = max(self.settings.mean_s - newest_s, 0) + 1e-3
        self._pending = [c for c in self._pending if crop.t_s - c.t_s < reach_s]
        crop = _mean(self._pending)
        spans = self.finish() if self._ring and crop.t_s - self._ring[-1].t_s > self.GAP_S else []
        now = self._see(crop)
        spans += self._follow_short(now)
        spans += self._follow_lasting(now)
        if not any(short.name == "mouth" for short in self._short):  # the next syllable, perhaps
            spans += self._speech.end(now.t_s)
        if now.steady is not None and now.t_s - self._began_s >= self.settings.settle_s:
            spans += self._notice(now)
        return spans

    def finish(self) -> list[Span]:
        """The stream ends or breaks here: what is open is judged as it stands, and the ring is emptied."""
        spans = [span for short in self._short for span in self._decide(short)]
        spans += [
            span for trajectory in (self._lasting, self._held) if trajectory for span in self._conclude(trajectory)
        ]
        spans += self._speech.end(np.inf)
        self._short, self._lasting, self._held, self._armed = [], None, None, True
        self._ring.clear()
        return spans

    # --- seeing

    def _see(self, crop: Crop) -> _Seen:
        """Compares the crop with the one a lag ago and learns what is usual."""
        now = extract(crop)
        lag = steady = None
        calm = False
        if self._ring:
            last = self._ring[-1]
            step_s = crop.t_s - last.t_s
            self._aperture.update(now.aperture, step_s)
            if past := self._at(crop.t_s - self.settings.lag_s):
                lag = self._motion(past, now, step_s).patches
                steady = lag if last.lag is None else (lag + last.lag) / 2
                rise = np.hypot(*steady)
                self._rise_floor.update(rise, step_s)
                self._rise_px = self._floor()
                self.motion_px = float(rise[self._regions.face].max())
                self.noise_px = _median(self._rise_px[self._regions.face])
                calm = float((rise / self._rise_px)[self._skin()].max()) < self.settings.rise_trigger
        else:
            self._began_s = crop.t_s
        seen = _Seen(now, lag, steady, calm)
        self._ring.append(seen)
        while crop.t_s - self._ring[0].t_s > self.RING_S:
            self._ring.popleft()
        return seen

    def _motion(self, before: FrameFeatures, after: FrameFeatures, learn_s: float = 0.0) -> PatchMotion:
        """Facial motion, less what this person's own depth explains; `learn_s` is how much that may learn from it."""
        seen = motion_between(before, after, self.settings.crop, self._flow)
        if learn_s:
            self._depth.update(seen.patches, seen.turn, self._rise_px, learn_s)
        return PatchMotion(self._depth.remove(seen.patches, seen.turn), seen.turn)

    def _at(self, t_s: float) -> FrameFeatures | None:
        """The moment of the ring nearest to `t_s`, if it is within a third of the lag."""
        after = bisect_left(self._ring, t_s, key=attrgetter("t_s"))
        nearest = min(list(self._ring)[max(after - 1, 0) : after + 1], key=lambda seen: abs(seen.t_s - t_s))
        return nearest.moment if abs(nearest.t_s - t_s) <= self.settings.lag_s / 3 else None

    def _floor(self) -> np.ndarray:
        """The noise floor of each patch; no patch is believed to be much quieter than the face as a whole."""
        level = self._rise_floor.level
        return np.maximum(level, max(0.7 * _median(level[self._regions.face]), self.settings.floor_min_px))

    # --- noticing

    def _notice(self, now: _Seen) -> list[Span]:
        """Opens a trajectory where a pulse, or a rise, stands out from this person's noise."""
        spans = self._notice_pulse(now)
        if now.calm:
            self._armed = True
            if self._lasting and self._rests(self._lasting):
                spans += self._hold(self._lasting)
        elif self._armed and self._lasting is None:
            self._armed = False
            self._lasting = self._trajectory(len(self._ring) - 1, self._skin(), from_calm=True)
        return spans

    def _notice_pulse(self, now: _Seen) -> list[Span]:
        first = bisect_right(self._ring, now.t_s - self.settings.micro_max_s, key=attrgetter("t_s"))
        last = bisect_left(self._ring, now.t_s - 0.05, key=attrgetter("t_s"))
        earlier = {first + i: seen.steady for i, seen in enumerate(islice(self._ring, first, last))}
        lags = {i: steady for i, steady in earlier.items() if steady is not None}
        if not lags or now.lag is None:
            return []
        skin, settings = self._skin(), self.settings
        parts = {
            "eyes": self._regions.eyes,
            "brows": self._regions.upper & skin,
            "mouth": self._regions.lower & skin,
        }
        strength = reversal_score(np.stack(list(lags.values())), now.lag, self._rise_px, np.stack(list(parts.values())))
        self._pulse_floor.update(strength.max(axis=0), now.t_s - self._ring[-2].t_s)
        triggers = self._pulse_floor.level * (settings.blink_trigger, settings.pulse_trigger, settings.pulse_trigger)
        spans = []
        for (name, mask), each, trigger in zip(parts.items(), strength.T, triggers, strict=True):
            rose = list(lags)[each.argmax()]
            if each.max() <= trigger or not self._is_new(name, self._ring[rose].t_s):
                continue
            trajectory = self._trajectory(rose, mask)
            if trajectory and trajectory.apex is not trajectory.points[-1]:  # else it still rises
                self._short.append(_Short(name, trajectory))
                if name != "eyes":
                    spans += self._say(trajectory)
        return spans

    def _twins(self, trajectory: Trajectory) -> list[Trajectory]:
        """Other trajectories of the same movement: its rise and its pulses at brows and mouth."""
        others = [short.trajectory for short in self._short if short.name != "eyes"] + [self._lasting, self._held]
        return [c for c in others if c and c is not trajectory and self._near(self._apex(c), self._apex(trajectory))]

    def _apex(self, trajectory: Trajectory) -> float:
        """Where it was when something was said of it: a rise that goes on takes its apex along."""
        return self._said.get(trajectory.id, trajectory.apex.t_s)

    def _near(self, apex_s: float, other_s: float) -> bool:
        return abs(apex_s - other_s) < self.settings.lag_s

    def _is_new(self, name: str, rose_s: float) -> bool:
        """Whether a movement that was rising at `rose_s` is another one than those that are known."""
        apexes_s = [self._apex_s[name], *(short.trajectory.apex.t_s for short in self._short if short.name == name)]
        return all(rose_s > apex_s + self.settings.lag_s for apex_s in (*apexes_s, self._began_s + self.START_S))

    def _skin(self) -> np.ndarray:
        """The patches that tell an expression: not those round the eyes while a blink pulls at them."""
        blinking = any(short.name == "eyes" for short in self._short)
        return self._regions.face & ~self._regions.lids if blinking else self._regions.face

    def _trajectory(self, rose: int, mask: np.ndarray, *, from_calm: bool = False) -> Trajectory | None:
        """Goes back from moment `rose` of the ring to where its movement began, and follows it from there until now.

        None where one is asked for that begins from calm, and there was no such moment: on the way back from a short
        movement the face is no calmer for standing still at its apex.
        """
        seen = list(self._ring)
        first = self._beginning(seen, rose, mask)
        near = [i for i in range(first + 1) if seen[first].t_s - seen[i].t_s <= self.MARGIN_S]
        margin = sorted({*near, max(first - 1, 0)})  # the one before counts, however long ago: frames may be missing
        margin = [i for i in margin if seen[i].t_s - self._began_s > self.START_S] or [first]
        if from_calm and not (margin := [i for i in margin if seen[i].calm and not self._away(seen[i].t_s)]):
            return None
        trajectory = Trajectory(seen[margin[0]].moment, mask, self._rise_px, self._next_id)
        self._next_id += 1
        for later in seen[margin[0] + 1 :]:
            trajectory.add(self._point(trajectory.reference, later.moment))
        return trajectory

    def _away(self, t_s: float) -> bool:
        """Whether a micro-expression or a blink was under way."""
        return any(short.onset_s < t_s < short.offset_s for short in (*self._told, *self._blinks))

    def _beginning(self, seen: list[_Seen], rose: int, mask: np.ndarray) -> int:
        """Index of the moment at which the lagged flow began to show the pattern that it shows at `rose`."""
        lag = seen[rose].steady
        assert lag is not None
        pattern = lag * mask
        energy = float(np.vdot(pattern, pattern))
        i = rose
        while i > 0 and (before := seen[i - 1].steady) is not None and seen[rose].t_s - seen[i].t_s < self.BACK_S:
            if seen[i - 1].t_s - self._began_s <= self.START_S or float(np.vdot(pattern, before)) < 0.15 * energy:
                break
            i -= 1
        return i

    def _point(self, reference: FrameFeatures, now: FrameFeatures) -> Point:
        moved, head = self._motion(reference, now), head_px(reference, now, self.settings.crop)
        return Point(now.crop, now.aperture, now.mouth_px, moved, head)

    # --- short movements: micro-expressions, blinks, syllables, nods

    def _follow_short(self, now: _Seen) -> list[Span]:
        spans = []
        for short in self._short:
            short.trajectory.add(self._point(short.trajectory.reference, now.moment))
            if short.name in ("brows", "face") and any(other.name == "eyes" for other in self._short):
                short.trajectory.narrow(short.trajectory.mask & ~self._regions.lids)
        for short in list(self._short):
            since_apex_s = now.t_s - short.trajectory.apex.t_s
            since_onset_s = now.t_s - short.trajectory.bounds()[0]
            too_long = since_onset_s > 1.4 * self.settings.micro_max_s
            back = short.trajectory.has_returned() and since_apex_s >= self.settings.decide_s
            if too_long or (back and not self._waits(short)):
                self._short.remove(short)
                spans += self._decide(short)
            elif short.name != "eyes" and self.CONFIRM_S <= since_apex_s <= self.settings.lag_s:
                spans += self._say(short.trajectory)
        return spans

    def _waits(self, short: _Short) -> bool:
        """Whether it is an expression that shows at the lids, and what brows or mouth show of it, which has its bounds
        better, is not decided yet.
        """
        beside = [other.trajectory.apex.t_s for other in self._short if other.name != "eyes"]
        if short.name != "eyes" or not any(self._near(apex_s, short.trajectory.apex.t_s) for apex_s in beside):
            return False
        return self._short_kind(short.trajectory, self._measure(short.trajectory)) == "micro"

    def _say(self, trajectory: Trajectory) -> list[Span]:
        """At the apex, if it looks like a micro-expression so far."""
        if any(self._near(apex_s, trajectory.apex.t_s) for apex_s in self._said_apexes_s):
            return []
        seen = replace(self._measure(trajectory), residue=0.0)  # it may still come back
        if self._short_kind(trajectory, seen) != "micro" or self._wobbles(trajectory):
            return []
        span = self._span(trajectory, "micro", seen, final=False)
        if _overlaps(span, self._told) or self._speech.goes_on(span):
            return []
        self._said[trajectory.id] = trajectory.apex.t_s
        self._said_apexes_s.append(trajectory.apex.t_s)
        return [span]

    def _finally(self, spans: list[Span]) -> list[Span]:
        """What is nothing needs no word, unless something was said of it at its apex."""
        told = [s for s in spans if s.kind != "other" or s.id in self._said or s.id in {t.id for t in self._told}]
        for span in told:
            if span.final:
                self._said.pop(span.id, None)
        return told

    def _decide(self, short: _Short) -> list[Span]:
        """At the offset: what it was."""
        seen = self._measure(short.trajectory)
        kind = self._short_kind(short.trajectory, seen)
        if short.name == "eyes" and abs(short.trajectory.apex.t_s - self._apex_s["eyes"]) < Speech.SAME_S:
            kind = "other"  # a pulse of the same blink, noticed while the first was not at its apex yet
        elif short.name != "eyes" and kind == "blink":
            kind = "other"  # the eyes tell a blink
        if kind != "blink" and self._wobbles(short.trajectory):
            kind = "other"
        if short.name != "eyes":
            self._pass_on(short.trajectory, kind)
        span = self._span(short.trajectory, kind, seen, final=True)
        self._apex_s[short.name] = span.apex_s
        if kind == "blink":
            self._blinks.append(span)
        tells_speech = short.name != "eyes" or kind == "micro"
        return self._finally(self._speech.hear(self._once(span)) if tells_speech else [span])

    # --- lasting movements: macro-expressions

    def _follow_lasting(self, now: _Seen) -> list[Span]:
        spans = []
        if self._lasting:
            self._lasting.add(self._point(self._lasting.reference, now.moment))
            if any(short.name == "eyes" for short in self._short):
                self._lasting.narrow(self._lasting.mask & ~self._regions.lids)
            if self._has_ended(self._lasting):
                spans += self._conclude(self._lasting)
                self._lasting = None
            elif self._has_turned(self._lasting) and (said := self._say(self._lasting)):
                spans += said
                self._short.append(_Short("face", self._lasting.branch(self._next_id)))
                self._next_id += 1
        if self._held and now.t_s - self._held.points[-1].t_s >= self.HELD_STEP_S:
            self._held.add(self._point(self._held.reference, now.moment))
            if self._has_ended(self._held):
                spans += self._conclude(self._held)
                spans += self._drop(self._lasting) if self._lasting else []  # what rose meanwhile was the way back
                self._held = self._lasting = None
        return spans

    def _drop(self, trajectory: Trajectory) -> list[Span]:
        self._pass_on(trajectory, "other")
        return self._finally([self._span(trajectory, "other", self._measure(trajectory), final=True)])

    def _has_turned(self, trajectory: Trajectory) -> bool:
        """Whether a movement lies past its apex."""
        past_apex_s = trajectory.points[-1].t_s - trajectory.apex.t_s
        return past_apex_s >= self.CONFIRM_S and trajectory.level()[-1] < 0.9

    def _has_ended(self, trajectory: Trajectory) -> bool:
        t_s = trajectory.points[-1].t_s
        back = trajectory.level()[-2:].mean() < ENDED and t_s - trajectory.apex.t_s >= self.settings.decide_s
        return bool(back) or t_s - trajectory.reference.crop.t_s > self.settings.macro_max_s

    def _rests(self, trajectory: Trajectory) -> bool:
        return (
            trajectory.points[-1].t_s - trajectory.bounds()[0] > self.settings.micro_max_s
            and trajectory.level()[-1] > 0.5
        )

    def _hold(self, trajectory: Trajectory) -> list[Span]:
        """The face has come to rest away from the reference: keep an eye on it, and let a new movement begin."""
        self._lasting = None
        if self._held and self._held.level()[-1] > 0.5:
            return self._drop(trajectory)  # it has moved on within the expression that is held already
        spans = self._conclude(self._held) if self._held else []
        self._held = trajectory
        seen = self._measure(trajectory)
        if self._lasting_kind(trajectory, seen) == "macro":
            self._said.setdefault(trajectory.id, trajectory.apex.t_s)
            spans.append(self._span(trajectory, "macro", seen, final=False))
        return spans

    def _conclude(self, trajectory: Trajectory) -> list[Span]:
        seen = self._measure(trajectory)
        kind = self._lasting_kind(trajectory, seen)
        most = [told for told in self._told if told.strength > 0.5 * seen.strength_px]
        if kind == "macro" and any(self._near(told.apex_s, trajectory.apex.t_s) for told in most):
            kind = "other"  # a micro-expression before which the face was not quite at rest
        if kind == "other" and self._short_kind(trajectory, seen) == "micro" and not self._wobbles(trajectory):
            kind = "micro"
        self._pass_on(trajectory, kind)
        span = self._once(self._span(trajectory, kind, seen, final=True))
        return self._finally(self._speech.hear(span) if span.kind == "micro" else [span])

    def _wobbles(self, trajectory: Trajectory) -> bool:
        """Whether it is small beside an expression that is under way, a part of its rise, or what another part of the
        face shows of a larger movement.
        """
        began_s, apex_s = trajectory.reference.crop.t_s, trajectory.apex.t_s
        larger = [(c, self.PART if c.rose(began_s) else self.WOBBLE) for c in (self._held, self._lasting) if c]
        beside = [short.trajectory for short in self._short if short.name != "eyes"]
        larger += [(c, self.PART) for c in beside if c.bounds()[0] < apex_s < c.bounds()[2]]
        return any(trajectory.snr < least * c.snr for c, least in larger)

    def _pass_on(self, trajectory: Trajectory, kind: Kind) -> None:
        """A movement keeps the id under which it was first said, whichever of its trajectories is judged first: one
        that is a micro-expression takes it, one that is nothing leaves it to those that are still open.
        """
        for twin in self._twins(trajectory):
            takes, leaves = kind == "micro" and twin.id in self._said, kind == "other" and trajectory.id in self._said
            if takes != leaves and (twin.id in self._said) != (trajectory.id in self._said):
                twin.id, trajectory.id = trajectory.id, twin.id
                return

    def _once(self, span: Span) -> Span:
        """A micro-expression is told once, whether its pulse or its rise was judged first, and so is a turn of the
        head, whether brows or mouth showed it.
        """
        if span.kind not in ("micro", "head"):
            return span
        told = self._told if span.kind == "micro" else self._turns
        if _overlaps(span, told):  # it is the same, or the way back from it
            return replace(span, kind="other")
        told.append(span)
        return span

    def _short_kind(self, trajectory: Trajectory, seen: CandidateFeatures) -> Kind:
        kind = classify_transient(seen, self.settings.micro_max_s)
        if not in_question(kind, seen, self.settings.micro_max_s):
            return kind
        if kind != "micro" and any(twin.snr > self.CLEARER * trajectory.snr for twin in self._twins(trajectory)):
            return kind  # it will be asked of that one
        return self._ask(trajectory, kind, seen)

    def _lasting_kind(self, trajectory: Trajectory, seen: CandidateFeatures) -> Kind:
        kind = classify_sustained(seen, self.settings.micro_max_s)
        return self._ask(trajectory, kind, seen) if kind == "macro" else kind

    def _ask(self, trajectory: Trajectory, kind: Kind, seen: CandidateFeatures) -> Kind:
        """The kind in the end: what most of the five crops about the apex say, for no single one may convince; the
        apex that surely shows nothing decides alone.
        """
        onset, apex = self._pair(trajectory)
        middle = next(i for i, point in enumerate(trajectory.points) if point.crop is apex)
        votes: list[Kind] = []
        for i in (middle, middle - 1, middle + 1, middle - 2, middle + 2):
            if not 0 < i < len(trajectory.points):
                continue
            if (doubt := self._judge(onset, trajectory.points[i].crop)) is None:
                return kind
            votes.append(judged(kind, seen, doubt))
            if votes.count(votes[-1]) == 3 or (i == middle and doubt > 1):
                return votes[-1]
        return max(votes, key=votes.count)

    def _pair(self, trajectory: Trajectory) -> tuple[Crop, Crop]:
        """The crops at onset and apex."""
        onset_s, apex_s, _ = trajectory.bounds()
        return trajectory.at(onset_s).crop, trajectory.at(apex_s).crop

    def _measure(self, trajectory: Trajectory) -> CandidateFeatures:
        return evidence(trajectory, self._regions, self._aperture.value or 1.0, self._began_s)

    def _span(self, trajectory: Trajectory, kind: Kind, seen: CandidateFeatures, *, final: bool) -> Span:
        onset_s, apex_s, offset_s = trajectory.bounds()
        onset, apex = self._pair(trajectory)
        return Span(
            apex.track_id, trajectory.id, onset_s, apex_s, offset_s, kind, seen.strength_px, final, onset, apex, seen
        )
