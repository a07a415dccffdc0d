"""Record the candidates of the live spotter in a clip, so that classifiers and thresholds are tried in seconds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.patch_flow import FULL, SIDE, STRIDE
from merau.stream.align import Crop
from merau.stream.faces import Quality
from merau.stream.spotter.assembler import Decision, SpanAssembler, Thresholds
from merau.stream.spotter.candidates import Candidate
from merau.stream.spotter.classifier import CHANNELS, FEATURES, STEPS, CandidateInput, describe
from merau.stream.spotter.features import Flow, FrameFeatures, flow_on_cpu
from merau.stream.spotter.settings import SpotterSettings
from merau.stream.spotter.span import KINDS, Kind, Span
from merau.stream.spotter.spotter import Spotter, decide
from merau.trainers.data.synth.timelines import Action
from merau.trainers.evaluate.spotting import ClipResult, Detection
from merau.trainers.spotting.dataset import FaceClip

GOOD = Quality(100.0, 0.8, 0.0, 0.0, 0.0, 1.0, 0.5, None, 1.0)
NO_CROP = Crop(0, 0.0, 0, *(np.zeros((0, 0), np.uint8),) * 2, np.eye(2, 3), np.zeros((0, 2), np.float32), GOOD)
DECIDED = ("candidate", "stage", "onset_s", "apex_s", "offset_s", "strength")
LIKE = 0.5  # IoU from which a candidate is taken for an expression
UNLIKE = 0.3  # IoU below which it is not; in between it teaches nothing
SAME_APEX_S = 0.1
PLAIN_SHARE = 0.6  # of a painted movement that patches without any texture show
NOT_MICRO, UNKNOWN = -1, -2  # labels beside the indices of KINDS
REPEATED = ("chew", "sniff")  # their first stroke looks like an expression
FIRST_STROKE_S = 0.25


@dataclass(frozen=True)
class Painting:
    """Expressions that are added to the measured flow of each pair of crops.

    Attributes:
        motion_model: By which model the skin moves.
        actions: The expressions, each of one ramp.
        motions: (2, rows, columns) of each at its apex, px of the patch flow's grid.
    """

    motion_model: str
    actions: tuple[Action, ...]
    motions: tuple[np.ndarray, ...]

    def flow(self, before: FrameFeatures, after: FrameFeatures) -> tuple[np.ndarray, np.ndarray]:
        """Return the patch flow with what is painted; patches without texture show less of it."""
        uv, residual = flow_on_cpu(before, after)
        for action, motion in zip(self.actions, self.motions, strict=True):
            (ramp,) = action.ramps
            if change := ramp.level(after.crop.t_s) - ramp.level(before.crop.t_s):
                uv = uv + (change * motion * (PLAIN_SHARE + (1 - PLAIN_SHARE) * before.trust)).astype(np.float32)
        return uv, residual


def patch_positions() -> tuple[np.ndarray, np.ndarray]:
    """Return the centres of the columns and rows of the patch flow's grid, fractions of the crop's square."""
    spec = CropSpec()
    height, width = (1 + (side // FULL - SIDE) // STRIDE for side in spec.full)
    xs = ((STRIDE * np.arange(width) + SIDE / 2) * FULL - spec.side_px) / spec.size_px
    ys = ((STRIDE * np.arange(height) + SIDE / 2) * FULL - spec.top_px) / spec.size_px
    return xs, ys


@dataclass(frozen=True)
class Recording:
    """All candidates of one clip, as the classifier saw them.

    Attributes:
        name: The clip.
        identity: Whose face it is.
        motion_model: How its skin moves.
        spans: The ground truth.
        duration_s: Length of the clip.
        steps: Time at which each candidate was due, and what is known of it but its probabilities.
        inputs: What the classifier sees of each.
        labels: (N,) int, index into KINDS, NOT_MICRO or UNKNOWN.
    """

    name: str
    identity: str
    motion_model: str
    spans: tuple[dict[str, Any], ...]
    duration_s: float
    steps: tuple[tuple[float, Decision], ...]
    inputs: CandidateInput
    labels: np.ndarray

    def save(self, path: Path) -> None:
        """Write the recording to a file that `load_recording` reads."""
        about = {name: getattr(self, name) for name in ("name", "identity", "motion_model", "spans", "duration_s")}
        decided = [[t_s, *(getattr(decision, name) for name in DECIDED)] for t_s, decision in self.steps]
        text = np.array(json.dumps(about | {"steps": decided}))
        motion = self.inputs.motion.astype(np.float16)
        np.savez_compressed(
            path, about=text, motion=motion, mask=self.inputs.mask, features=self.inputs.features, labels=self.labels
        )

    def replay(self, probabilities: np.ndarray, thresholds: Thresholds) -> ClipResult:
        """Assemble the spans that a live spotter would report with these probabilities (N, 6)."""
        assembler = SpanAssembler(SpotterSettings())
        first_s: dict[int, float] = {}
        detections: dict[int, Detection] = {}
        times_s = [t_s for t_s, _ in self.steps]
        start = 0
        while start < len(times_s) or start == 0:
            t_s = times_s[start] if times_s else np.inf
            stop = int(np.searchsorted(times_s, t_s, side="right"))
            due = [
                replace(self.steps[i][1], probabilities=tuple(map(float, probabilities[i]))) for i in range(start, stop)
            ]
            for span in assembler.update(due, thresholds, t_s):
                first_s.setdefault(span.id, t_s)
                if span.final:
                    detections[span.id] = _detection(span, first_s[span.id], t_s)
            start = max(stop, start + 1)
        for span in assembler.update([], thresholds, np.inf):
            detections[span.id] = _detection(span, first_s[span.id], self.duration_s)
        found = sorted(detections.values(), key=lambda detection: detection.onset_s)
        return ClipResult(self.spans, tuple(found), self.duration_s)


def load_recording(path: Path) -> Recording:
    """Read a recording that `Recording.save` wrote."""
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
        inputs = CandidateInput(file["motion"].astype(np.float32), file["mask"], file["features"])
        labels = file["labels"]
    steps = tuple((row[0], _decision(dict(zip(DECIDED, row[1:], strict=True)))) for row in about.pop("steps"))
    about["spans"] = tuple(about["spans"])
    return Recording(**about, steps=steps, inputs=inputs, labels=labels)


def _decision(values: dict[str, Any]) -> Decision:
    return Decision(**values, probabilities=(0.0,) * len(KINDS), onset=NO_CROP, apex=NO_CROP)


def _detection(span: Span, first_s: float, last_s: float) -> Detection:
    return Detection(span.kind, span.onset_s, span.apex_s, span.offset_s, first_s, last_s)


class _Recorder(Spotter):
    """A spotter that keeps its candidates instead of reporting them."""

    def __init__(self, flow: Flow):
        super().__init__(_NoClassifier(), flow=flow)
        self.steps: list[tuple[float, Decision]] = []
        self.inputs: list[CandidateInput] = []
        self.parts: list[str] = []

    def _report(self, due: list[Candidate], t_s: float) -> list[Span]:
        if due:
            self.inputs.append(describe(due, self._candidates.open(), self._extractor))
            self.steps += [(t_s, decide(candidate, [0.0] * len(KINDS))) for candidate in due]
            self.parts += [candidate.part for candidate in due]
        return []


class _NoClassifier:
    thresholds = Thresholds()

    def __call__(self, candidates: CandidateInput) -> np.ndarray:
        return np.zeros((len(candidates.features), len(KINDS)))


def record(clip: FaceClip, painting: Painting | None = None) -> Recording:
    """Record the candidates of a clip, into whose flow expressions may be painted."""
    recorder = _Recorder(painting.flow if painting else flow_on_cpu)
    painted = painting.actions if painting else ()
    for crop in crops_of(clip):
        recorder.push(crop)
    recorder.finish()
    spans = (*clip.spans, *map(span_of, painted))
    steps = tuple(
        (min(t_s, clip.duration_s), replace(decision, onset=NO_CROP, apex=NO_CROP)) for t_s, decision in recorder.steps
    )
    decided = zip((decision for _, decision in steps), recorder.parts, strict=True)
    labels = [label(decision, part, spans, complete=clip.complete) for decision, part in decided]
    return Recording(
        name=clip.name,
        identity=clip.identity,
        motion_model=painting.motion_model if painting else clip.motion_model,
        spans=spans,
        duration_s=clip.duration_s,
        steps=steps,
        inputs=join(recorder.inputs),
        labels=np.array(labels, int),
    )


def join(inputs: Sequence[CandidateInput]) -> CandidateInput:
    """Concatenate candidates."""
    shapes = {"motion": (0, CHANNELS, STEPS), "mask": (0, STEPS), "features": (0, len(FEATURES))}
    arrays = ([np.zeros(shape, np.float32), *(getattr(i, name) for i in inputs)] for name, shape in shapes.items())
    return CandidateInput(*map(np.concatenate, arrays))


def crops_of(clip: FaceClip) -> list[Crop]:
    """Return the crops of a clip, without colour."""
    return [
        Crop(0, float(t_s), i, grey[..., None], grey, matrix, landmarks, GOOD)
        for i, (t_s, grey, matrix, landmarks) in enumerate(
            zip(clip.t_s, clip.grey, clip.matrix, clip.landmarks, strict=True)
        )
    ]


def span_of(action: Action) -> dict[str, Any]:
    """Return the ground truth of a painted action."""
    times = {"onset_s": action.onset_s, "apex_s": action.apex_s, "offset_s": action.offset_s}
    return {"kind": action.kind, "label": action.label, **times, "peak_px": action.peak_px}


def label(decision: Decision, part: str, spans: Sequence[dict[str, Any]], *, complete: bool) -> int:
    """Return what a candidate truly is: an index into KINDS, NOT_MICRO or UNKNOWN."""
    if not complete and not spans:
        return NOT_MICRO
    kinds: dict[str, list[dict[str, Any]]] = {kind: [s for s in spans if s["kind"] == kind] for kind in KINDS}
    blinks = any(_overlaps(span, decision) for span in kinds["blink"])
    if part == "eyes" and any(_same_apex(span, decision, 1.5) for span in kinds["blink"]):
        return KINDS.index("blink")
    expressive: tuple[Kind, ...] = ("micro", "macro")
    for kind in expressive:
        if (found := _expression(decision, kinds[kind], kind)) is not None:
            return found
    if blinks:
        return KINDS.index("blink")
    if any(_is_first_stroke(span, decision) for span in kinds["other"]):
        return UNKNOWN
    others: tuple[Kind, ...] = ("speech", "head")
    for kind in others:
        if any(_overlaps(span, decision) for span in kinds[kind]):
            return KINDS.index(kind)
    return KINDS.index("other") if complete else NOT_MICRO


def _expression(decision: Decision, spans: Sequence[dict[str, Any]], kind: Kind) -> int | None:
    this = KINDS.index(kind)
    for span in spans:
        if decision.stage == "apex":
            begins = abs(decision.onset_s - span["onset_s"]) < 2 * SAME_APEX_S
            if kind == "micro" and begins and _same_apex(span, decision, 1.0):
                return this
        elif decision.stage == "held":
            if kind == "macro" and span["onset_s"] - 0.3 < decision.onset_s < span["apex_s"]:
                return this
        else:
            iou = _iou(span, decision)
            if iou >= LIKE:
                return this
            if iou > UNLIKE:
                return UNKNOWN
    return None


def _is_first_stroke(span: dict[str, Any], decision: Decision) -> bool:
    return span["label"] in REPEATED and abs(decision.onset_s - span["onset_s"]) < FIRST_STROKE_S


def _same_apex(span: dict[str, Any], decision: Decision, wide: float) -> bool:
    return bool(abs(span["apex_s"] - decision.apex_s) < wide * SAME_APEX_S)


def _overlaps(span: dict[str, Any], decision: Decision) -> bool:
    return bool(span["onset_s"] < decision.offset_s and decision.onset_s < span["offset_s"])


def _iou(span: dict[str, Any], decision: Decision) -> float:
    common_s = min(span["offset_s"], decision.offset_s) - max(span["onset_s"], decision.onset_s)
    whole_s = max(span["offset_s"], decision.offset_s) - min(span["onset_s"], decision.onset_s)
    return float(max(common_s, 0) / whole_s) if whole_s > 0 else 0.0
