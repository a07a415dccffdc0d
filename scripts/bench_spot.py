"""How well micro-expressions are spotted: precision, recall, F1, apex error, false ones a minute, delays. Prints JSON.

    python scripts/bench_spot.py                      # fresh seeds 1000.., test identities, 30 and 100 frames/s
    python scripts/bench_spot.py --split tuning       # the faces that thresholds may be chosen on
    python scripts/bench_spot.py --clips 1 --rates 30 # a quick look
    python scripts/bench_spot.py --sets neutral       # heads that only move

Clips are animated portraits (trainers/data/synth) with head motion, blinks, noise and H.264 at 1.5 Mbit/s, and real
footage with micro-expressions painted in; they are rendered once into --cache. A micro-expression counts as found
by a final event of that kind with an intersection over union of at least 0.5, one to one, as in the MEGC spotting
challenge. Sets: micro (nothing but micro-expressions, blinks and glances), neutral (head turns and nods, blinks,
glances), macro and speech (those, with micro-expressions between), mixed, real (a stretch of real video in which little
moves, shown there and back).
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.engine.recognizer import Recognizer
from merau.stream.pipeline import Pipeline
from merau.stream.sources import open_source
from merau.trainers.data.synth.clips import STILL, ClipPlan, make_clip, random_plan
from scripts.fetch_footage import footage

IOU = 0.5
PEAKS_PX = (0.5, 1.0, 2.0)
SETS = ("micro", "neutral", "macro", "speech", "mixed", "real")
DURATION_S = 20.0


@dataclass(frozen=True)
class Portrait:
    """A face to animate: number `face` from the left in a picture, or a video's one frame at `at_s`."""

    file: str
    face: int = 0
    at_s: float | None = None


@dataclass(frozen=True)
class Stretch:
    """A piece of real video without a micro-expression, in which little moves."""

    file: str
    start_s: float
    stop_s: float
    rate: float
    size: tuple[int, int] = (640, 360)


# Thresholds may be chosen on the first and must not be on the second.
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
    """One clip to render and to analyse."""

    set: str
    rate: float
    peak_px: float | None  # of its micro-expressions; None when it has none
    file: str
    plan: ClipPlan
    seed: int

    @property
    def shown(self) -> str:
        return f"{self.file} {self.plan.face}"

    @property
    def name(self) -> str:
        told = json.dumps([self.file, asdict(self.plan), self.seed], default=str)
        return f"{self.set}-{self.rate:.0f}-{hashlib.sha256(told.encode()).hexdigest()[:12]}.mp4"


@dataclass(frozen=True)
class Said:
    """An event as it was at the end, and the stream's time when it was first and last spoken of."""

    kind: str
    onset_s: float
    apex_s: float
    offset_s: float
    first_said_s: float
    final_said_s: float
    label: str = ""
    uncertain: bool = False


@dataclass(frozen=True)
class Heard:
    """A clip's truth and what the pipeline said."""

    clip: Clip
    spans: tuple[dict[str, Any], ...]
    said: tuple[Said, ...]
    duration_s: float


def clips_of(split: str, rates: Sequence[float], count: int, seed: int) -> list[Clip]:
    """`count` clips for every set, rate and peak, faces in turn, every one with its own seed; of heads that only move
    four times as many, for a rate of what is rare asks for minutes.
    """
    asked: list[tuple[str, float, float | None]] = []
    for rate in rates:
        asked += [("micro", rate, peak) for peak in PEAKS_PX]
        asked += [(name, rate, 1.0) for name in ("macro", "speech", "mixed")] + [("neutral", rate, None)]
    synthetic = [case for case in asked for _ in range(count)]
    real = [peak for peak in (*PEAKS_PX[1:], None) for _ in range(count)]
    faces = PORTRAITS[split]
    clips = [animated(*case, faces[i % len(faces)], seed + i) for i, case in enumerate(synthetic)]
    first = len(clips)
    clips += [_painted(peak, STRETCHES[split], seed + first + i, i) for i, peak in enumerate(real)]
    more, first = [rate for rate in rates for _ in range(3 * count)], len(clips)
    return clips + [
        animated("neutral", rate, None, faces[i % len(faces)], seed + first + i) for i, rate in enumerate(more)
    ]


def animated(name: str, rate: float, peak_px: float | None, face: Portrait, seed: int, **changes: Any) -> Clip:
    """A clip of `seed`, with `changes` to what its plan would have."""
    rng = np.random.default_rng(seed)
    settings: dict[str, Any] = {
        "duration_s": DURATION_S,
        "rate": rate,
        "face": face.face,
        "face_px": float(rng.uniform(180, 260)),
        "noise": float(rng.uniform(1, 3)),
        "light": float(rng.uniform(0.01, 0.04)),
    }
    if face.at_s is not None:
        settings |= {"start_s": face.at_s, "stop_s": face.at_s + 0.03}
    plan = random_plan(rng, name, peak_px=peak_px or 1.0, **(settings | changes))
    return Clip(name, rate, peak_px, face.file, plan, seed)


def _painted(peak_px: float | None, stretches: Sequence[Stretch], seed: int, turn: int) -> Clip:
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


def hear(clip: Clip, cache: Path, bundle: Path | None = None) -> Heard:
    """Listen to what the pipeline says about a clip."""
    path = rendered(clip, cache)
    spans = json.loads(path.with_suffix(".truth.json").read_text())["spans"]
    return Heard(clip, tuple(spans), listen(path, bundle), clip.plan.duration_s)


def rendered(clip: Clip, cache: Path) -> Path:
    """The clip's file, made unless the cache has it."""
    cv2.setNumThreads(1)
    path = cache / clip.name
    if not path.with_suffix(".truth.json").exists():
        unfinished = path.with_suffix(f".{os.getpid()}.mp4")
        make_clip(footage(clip.file), clip.plan, unfinished, clip.seed)
        unfinished.rename(path)
        unfinished.with_suffix(".truth.json").rename(path.with_suffix(".truth.json"))
    return path


def listen(path: Path, bundle: Path | None = None) -> tuple[Said, ...]:
    """Every final event of a video, as `bundle` has it; by default what ships."""
    first: dict[str, float] = {}
    said: dict[str, Said] = {}
    now_s = 0.0
    with open_source(str(path)) as source:
        for update in Pipeline(str(path), Recognizer.load(bundle)).run(source):
            now_s = update.frame.t_s if update.frame else now_s
            for event in update.events:
                first.setdefault(event.id, now_s)
                if event.final:
                    said[event.id] = Said(
                        event.kind,
                        event.onset_s,
                        event.apex_s,
                        event.offset_s,
                        first[event.id],
                        now_s,
                        event.label,
                        event.uncertain,
                    )
    return tuple(sorted(said.values(), key=lambda event: event.onset_s))


def iou(span: dict[str, Any], event: Said) -> float:
    """Intersection over union of two times."""
    common = min(span["offset_s"], event.offset_s) - max(span["onset_s"], event.onset_s)
    whole = max(span["offset_s"], event.offset_s) - min(span["onset_s"], event.onset_s)
    return max(0.0, common) / whole if whole > 0 else 0.0


def match(spans: Sequence[dict[str, Any]], said: Sequence[Said]) -> list[tuple[int, int]]:
    """Pairs (span, event), one to one, the best overlaps first, none below IOU."""
    pairs = sorted(
        ((iou(span, event), i, j) for i, span in enumerate(spans) for j, event in enumerate(said)), reverse=True
    )
    chosen: dict[int, int] = {}
    for overlap, i, j in pairs:
        if overlap >= IOU and i not in chosen and j not in chosen.values():
            chosen[i] = j
    return sorted(chosen.items())


def score(heard: Iterable[Heard]) -> dict[str, Any]:
    """Figures for micro-expressions over some clips."""
    spans = events = 0
    minutes = 0.0
    found: list[tuple[dict[str, Any], Said]] = []
    during: Counter[str] = Counter()
    for one in heard:
        truth = [span for span in one.spans if span["kind"] == "micro"]
        said = [event for event in one.said if event.kind == "micro"]
        pairs = match(truth, said)
        found += [(truth[i], said[j]) for i, j in pairs]
        during.update(_meanwhile(one.spans, said[j]) for j in set(range(len(said))) - {j for _, j in pairs})
        spans, events, minutes = spans + len(truth), events + len(said), minutes + one.duration_s / 60
    errors = [1e3 * (event.apex_s - span["apex_s"]) for span, event in found]
    return {
        "minutes": round(minutes, 2),
        "true": spans,
        "said": events,
        "found": len(found),
        "precision": share(len(found), events),
        "recall": share(len(found), spans),
        "f1": share(2 * len(found), spans + events),
        "false_per_minute": round((events - len(found)) / minutes, 2) if minutes else None,
        "false_during": dict(during),
        "apex_error_ms": _spread([abs(error) for error in errors]),
        "apex_bias_ms": round(statistics.median(errors), 1) if errors else None,
        "onset_error_ms": _spread([abs(1e3 * (event.onset_s - span["onset_s"])) for span, event in found]),
        "offset_error_ms": _spread([abs(1e3 * (event.offset_s - span["offset_s"])) for span, event in found]),
        "said_after_apex_ms": _spread([1e3 * (event.first_said_s - span["apex_s"]) for span, event in found]),
        "final_after_apex_ms": _spread([1e3 * (event.final_said_s - span["apex_s"]) for span, event in found]),
    }


def _meanwhile(spans: Sequence[dict[str, Any]], event: Said) -> str:
    """What the face was really doing when a wrong micro-expression was said."""
    best = max(spans, key=lambda span: iou(span, event), default=None)
    return best["kind"] if best and iou(best, event) > 0 else "nothing"


def kinds(heard: Iterable[Heard]) -> dict[str, dict[str, int]]:
    """True kind -> kind of the event that overlaps it most, "missed" where none does; "nothing" -> said of nothing."""
    table: dict[str, Counter[str]] = {}
    for one in heard:
        for span in one.spans:
            best = max(one.said, key=lambda event: iou(span, event), default=None)
            named = best.kind if best and iou(span, best) > 0 else "missed"
            table.setdefault(span["kind"], Counter())[named] += 1
        for event in one.said:
            if _meanwhile(one.spans, event) == "nothing":
                table.setdefault("nothing", Counter())[event.kind] += 1
    return {kind: dict(counts) for kind, counts in table.items()}


def share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"median": round(float(np.median(values)), 1), "p95": round(float(np.percentile(values, 95)), 1)}


def report(heard: Sequence[Heard], options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is printed."""
    bundle = Recognizer.load(options.bundle).bundle
    faces = sorted({one.clip.shown for one in heard})
    results: dict[str, Any] = {}
    for rate in options.rates:
        here = [one for one in heard if one.clip.set != "real" and one.clip.rate == rate]
        by_peak = {f"{p} px": [o for o in here if o.clip.set == "micro" and o.clip.peak_px == p] for p in PEAKS_PX}
        by_set = {name: [o for o in here if o.clip.set == name] for name in ("neutral", "macro", "speech", "mixed")}
        results[f"{rate:g} frames/s"] = {name: score(ones) for name, ones in (by_peak | by_set | {"all": here}).items()}
    real = [one for one in heard if one.clip.set == "real"]
    results["real footage"] = {case: score([o for o in real if _case(o) == case]) for case in sorted(map(_case, real))}
    return {
        "what": "spotting of micro-expressions on rendered clips",
        "host": host(),
        "threads": 1,
        "processes": options.jobs,
        "bundle": {"name": bundle.name, "sha256": bundle.sha256},
        "split": options.split,
        "seed": options.seed,
        "clips": len(heard),
        "faces": faces,
        "iou": IOU,
        "results": results,
        "by_face": {face: score([one for one in heard if one.clip.shown == face]) for face in faces},
        "kinds": kinds(heard),
    }


def _case(heard: Heard) -> str:
    """The stretch of real video and what was painted into it."""
    plan, peak_px = heard.clip.plan, heard.clip.peak_px
    painted = f"{peak_px:g} px" if peak_px else "nothing painted in"
    return f"{heard.clip.file} {plan.start_s:g}-{plan.stop_s:g} s, {painted}"


def host() -> dict[str, Any]:
    """The machine and the versions of what counts."""
    packages = ("numpy", "opencv-python-headless", "av", "ai-edge-litert", "onnxruntime", "numba")
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2, help="of a set, rate and peak; neutral: four times")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seed", type=int, default=1000, help="a number not used before gives clips nobody has seen")
    parser.add_argument("--rates", type=lambda text: [float(r) for r in text.split(",")], default=[30.0, 100.0])
    parser.add_argument("--split", choices=list(PORTRAITS), default="test")
    parser.add_argument("--bundle", type=Path, help="default: the shipped bundle")
    parser.add_argument("--cache", type=Path, default=Path(".cache/bench_spot"), help="folder of rendered clips")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    clips = clips_of(options.split, options.rates, options.clips, options.seed)
    clips = [clip for clip in clips if clip.set in options.sets]
    for name in sorted({clip.file for clip in clips}):
        footage(name)  # fetched once, before processes ask for it together
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(hear, clip, options.cache, options.bundle) for clip in clips]
        try:
            heard = [job.result() for job in tqdm(jobs, unit="clip", file=sys.stderr)]
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print("Stopped.", file=sys.stderr)
            return 130
    print(json.dumps(report(heard, options), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
