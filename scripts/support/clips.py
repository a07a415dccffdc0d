"""Clips with known ground truth for the spotting benchmarks: planned by a seed, rendered once, run by the pipeline.

A clip is an animated portrait with head motion, blinks, noise and H.264 at 1.5 Mbit/s, or a stretch of real video with
micro-expressions rendered into it.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from merau.engine.recognizer import Recognizer
from merau.stream.pipeline import FrameResult, Pipeline
from merau.stream.sources import Frame, open_source
from merau.trainers.data.synth.clips import STILL, ClipPlan, make_clip, random_plan
from merau.trainers.evaluate.spotting import ClipResult, Detection
from scripts.support.footage import footage
from scripts.support.mains_light import flickering

PEAKS_PX = (0.5, 1.0, 2.0)
SETS = ("micro", "neutral", "macro", "speech", "mixed", "real")
DURATION_S = 20.0


@dataclass(frozen=True)
class Portrait:
    """A face to animate: number `face` from the left in a photo, or in the frame of a video at `at_s`."""

    file: str
    face: int = 0
    at_s: float | None = None


@dataclass(frozen=True)
class Stretch:
    """A stretch of real video without micro-expressions, in which little moves."""

    file: str
    start_s: float
    stop_s: float
    rate: float
    size: tuple[int, int] = (640, 360)


# Thresholds may be chosen on the tuning faces, never on the test faces.
PORTRAITS = {
    "tuning": (
        Portrait("astronaut.png"),
        Portrait("0-f1-su-ph.jpg"),
        Portrait("single_face.jpg"),
        Portrait("multi_face.jpg", 1),
        Portrait("multi_face.jpg", 4),
        Portrait("WolfgangLanger_Pexels.mp4", at_s=10.0),
    ),
    "test": (
        Portrait("0-f15-hao-ph.jpg"),
        Portrait("15-f13-anc-ph.jpg"),
        Portrait("single_face.mp4", at_s=0.1),
        Portrait("multi_face.jpg", 2),
        Portrait("multi_face.jpg", 3),
        Portrait("t1.jpg", 2),
    ),
}
STRETCHES = {
    "tuning": (
        Stretch("WolfgangLanger_Pexels.mp4", 13.43, 14.60, 24000 / 1001),
        Stretch("WolfgangLanger_Pexels.mp4", 7.0, 8.3, 24000 / 1001),
        Stretch("WolfgangLanger_Pexels.mp4", 15.22, 15.97, 24000 / 1001),
    ),
    "test": (
        Stretch("single_face.mp4", 1.2, 2.2, 30.0),
        Stretch("single_face.mp4", 0.0, 0.5, 30.0),
    ),
}


@dataclass(frozen=True)
class Clip:
    """A clip to render and to analyse.

    Attributes:
        set: One of `SETS`.
        rate: Frames per second.
        peak_px: Peak of its micro-expressions; None where it has none.
        file: The portrait or video, a name for `footage`.
        plan: What is rendered.
        seed: Seed of the rendering.
    """

    set: str
    rate: float
    peak_px: float | None
    file: str
    plan: ClipPlan
    seed: int

    @property
    def face(self) -> str:
        """The portrait's file and the number of the face in it."""
        return f"{self.file} {self.plan.face}"

    @property
    def name(self) -> str:
        """The file name of the rendered clip, different for each plan."""
        content = json.dumps([self.file, asdict(self.plan), self.seed], default=str)
        return f"{self.set}-{self.rate:.0f}-{hashlib.sha256(content.encode()).hexdigest()[:12]}.mp4"


def plan_clips(split: str, rates: Sequence[float], count: int, seed: int) -> list[Clip]:
    """Plan `count` clips for every set, rate and peak, each with its own seed; the faces take turns.

    "neutral" gets four times as many: a low rate of false detections shows only over minutes.
    """
    cases: list[tuple[str, float, float | None]] = []
    for rate in rates:
        cases += [("micro", rate, peak) for peak in PEAKS_PX]
        cases += [(name, rate, 1.0) for name in ("macro", "speech", "mixed")] + [("neutral", rate, None)]
    animated = [case for case in cases for _ in range(count)]
    painted = [peak for peak in (*PEAKS_PX[1:], None) for _ in range(count)]
    faces = PORTRAITS[split]
    clips = [animated_clip(*case, faces[i % len(faces)], seed + i) for i, case in enumerate(animated)]
    first = len(clips)
    clips += [_painted_clip(peak, STRETCHES[split], seed + first + i, i) for i, peak in enumerate(painted)]
    more, first = [rate for rate in rates for _ in range(3 * count)], len(clips)
    return clips + [
        animated_clip("neutral", rate, None, faces[i % len(faces)], seed + first + i) for i, rate in enumerate(more)
    ]


def animated_clip(name: str, rate: float, peak_px: float | None, portrait: Portrait, seed: int, **changes: Any) -> Clip:
    """Plan an animated portrait.

    Args:
        name: The set, one of `SETS` without "real".
        rate: Frames per second.
        peak_px: Peak of the micro-expressions, None for none.
        portrait: The face.
        seed: Seed of the plan and of the rendering.
        **changes: Fields of ClipPlan that replace the drawn ones.
    """
    rng = np.random.default_rng(seed)
    settings: dict[str, Any] = {
        "duration_s": DURATION_S,
        "rate": rate,
        "face": portrait.face,
        "face_px": float(rng.uniform(180, 260)),
        "noise": float(rng.uniform(1, 3)),
        "light": float(rng.uniform(0.01, 0.04)),
    }
    if portrait.at_s is not None:
        settings |= {"start_s": portrait.at_s, "stop_s": portrait.at_s + 0.03}
    plan = random_plan(rng, name, peak_px=peak_px or 1.0, **(settings | changes))
    return Clip(name, rate, peak_px, portrait.file, plan, seed)


def _painted_clip(peak_px: float | None, stretches: Sequence[Stretch], seed: int, turn: int) -> Clip:
    stretch, rng = stretches[turn % len(stretches)], np.random.default_rng(seed)
    settings: dict[str, Any] = {
        "duration_s": DURATION_S,
        "rate": stretch.rate,
        "size": stretch.size,
        "start_s": stretch.start_s,
        "stop_s": stretch.stop_s,
        "face_px": None,
        "motion": STILL,
        "light": 0.0,
        "noise": 0.7,
    }
    plan = random_plan(rng, "micro", peak_px=peak_px, **settings) if peak_px else ClipPlan((), **settings)
    return Clip("real", stretch.rate, peak_px, stretch.file, plan, seed)


def render(clip: Clip, cache: Path) -> Path:
    """Return the clip's file; renders it unless `cache` has it."""
    cv2.setNumThreads(1)
    path = cache / clip.name
    if not path.with_suffix(".truth.json").exists():
        unfinished = path.with_suffix(f".{os.getpid()}.mp4")
        make_clip(footage(clip.file), clip.plan, unfinished, clip.seed)
        unfinished.rename(path)
        unfinished.with_suffix(".truth.json").rename(path.with_suffix(".truth.json"))
    return path


def evaluate_clip(clip: Clip, cache: Path, bundle: Path | None = None, flicker: float = 0.0) -> ClipResult:
    """Render a clip and return its ground truth with the pipeline's detections."""
    path = render(clip, cache)
    spans = json.loads(path.with_suffix(".truth.json").read_text())["spans"]
    return ClipResult(tuple(spans), detect(path, bundle, flicker), clip.plan.duration_s)


def detect(path: Path, bundle: Path | None = None, flicker: float = 0.0) -> tuple[Detection, ...]:
    """Return every final event of a video by onset.

    Args:
        path: The video.
        bundle: The recognizer's bundle; None is the shipped one.
        flicker: Amplitude of 50-Hz mains light, as a share of the light.
    """
    first_s: dict[str, float] = {}
    detections: dict[str, Detection] = {}
    now_s = 0.0
    with open_source(str(path)) as source:
        frames = flickering(source, flicker) if flicker else source
        for result in _results(Pipeline(str(path), Recognizer.load(bundle)), frames):
            now_s = result.frame.t_s if result.frame else now_s
            for event in result.events:
                first_s.setdefault(event.id, now_s)
                if event.final:
                    detections[event.id] = Detection(
                        event.kind,
                        event.onset_s,
                        event.apex_s,
                        event.offset_s,
                        first_s[event.id],
                        now_s,
                        event.label,
                        event.uncertain,
                    )
    return tuple(sorted(detections.values(), key=lambda detection: detection.onset_s))


def _results(pipeline: Pipeline, frames: Iterable[Frame]) -> Iterator[FrameResult]:
    yield from map(pipeline.process, frames)
    yield pipeline.finish()
