"""How well micro-expressions are recognized under one condition after another. Prints JSON.

A regression test only: it shows what recognizers are trained on, and ranks them no better than chance by what they do
on real faces. `merau-lab bench truth` is the bench to steer by.

    python scripts/bench_recognition.py                   # six clips per condition
    python scripts/bench_recognition.py --clips 1         # a quick look

Each condition differs from the first in one thing; faces, micro-expressions and times stay the same. Clips are animated
portraits of people that no recognizer was trained on, rendered once into --cache.

- "pairs": the frames at onset and apex of the ground truth, and frames without expression (three in five, as in a live
  stream), through mesh, alignment and flow, by DIS and Farneback with the bundle of each. Their crops are also moved,
  enlarged and turned.
- "detections": what the pipeline reports for the whole clip. A detection counts where it overlaps a micro-expression by
  half (IoU), one to one, and is right where its class is right, too.
- "drawn": generated flow of the same peaks that was never a picture, for comparison.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.face_mesh import FaceNets
from merau.engine.flow import METHODS
from merau.engine.recognizer import Recognizer
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.clips import STILL, HeadMotion
from merau.trainers.data.synth.flow_fields import CLASSES, LIVE_SHARE, Flows, FlowSettings, draw
from merau.trainers.data.synth.image_pairs import ImagePairs, align, measure
from merau.trainers.evaluate.clips import frames_at, read_pairs
from merau.trainers.evaluate.spotting import ClipResult, score_classes
from merau.trainers.evaluate.synthetic import score
from scripts.support.clips import PORTRAITS, Clip, animated_clip, evaluate_clip, render
from scripts.support.footage import footage
from scripts.support.host import host

SEED = 3000
DRAWN = 4000  # generated flows for each peak


@dataclass(frozen=True)
class Condition:
    """How clips differ from those of the first condition."""

    name: str
    peak_px: float = 1.0
    rate: float = 30.0
    changes: dict[str, Any] = field(default_factory=dict)  # to ClipPlan


BASE = Condition("1 px, 30 frames/s, 1.5 Mbit/s, the head wanders")
CONDITIONS = (
    BASE,
    Condition("0.5 px", peak_px=0.5),
    Condition("2 px", peak_px=2.0),
    Condition("faces move as scans kept out of training", changes={"geometry": "scans", "held_out": True}),
    *(Condition(f"{rate} frames/s", rate=rate) for rate in (25, 60, 100, 200)),
    Condition("0.5 Mbit/s", changes={"bit_rate": 500_000}),
    Condition("6 Mbit/s", changes={"bit_rate": 6_000_000}),
    Condition("the head is still", changes={"motion": STILL}),
    Condition("the head moves twice as much", changes={"motion": HeadMotion(0.05, 0.024, 2.4, 3.0, 2.4, 0.0008)}),
)
# Errors of the crop: shift to the right and down in crop widths, zoom, turn in degrees.
CROP_ERRORS = {
    "crop moved by 3 %": (0.03, 1.0, 0.0),
    "crop moved by 7 %": (0.07, 1.0, 0.0),
    "crop a tenth too wide": (0.0, 0.9, 0.0),
    "crop a tenth too narrow": (0.0, 1.1, 0.0),
    "crop turned by 6 degrees": (0.0, 1.0, 6.0),
}


def plan_clips(condition: Condition, count: int) -> list[Clip]:
    """Plan `count` clips; the same seeds for each condition."""
    faces = PORTRAITS["test"]
    return [
        animated_clip("micro", condition.rate, condition.peak_px, faces[i % len(faces)], SEED + i, **condition.changes)
        for i in range(count)
    ]


def examine(clip: Clip, cache: Path) -> tuple[ClipResult, ImagePairs]:
    """Return the pipeline's detections in a clip, and the onset-apex pairs of its ground truth."""
    return evaluate_clip(clip, cache), true_pairs(render(clip, cache), np.random.default_rng(clip.seed))


def true_pairs(video: Path, rng: np.random.Generator) -> ImagePairs:
    """Return each micro-expression of a clip, onset to apex, and pairs without one as LIVE_SHARE of all."""
    moments = read_pairs(video, rng)
    shown, others = ([m for m in moments if (m.kind == "micro") is wanted] for wanted in (True, False))
    count = min(len(others), round(len(shown) * LIVE_SHARE / (1 - LIVE_SHARE)))
    chosen = [*shown, *(others[i] for i in rng.choice(len(others), count, replace=False))]
    frames, nets = frames_at(video, [t for moment in chosen for t in (moment.onset_s, moment.apex_s)]), FaceNets()
    rows = []
    for moment, onset, apex in zip(chosen, frames[::2], frames[1::2], strict=True):
        crops = align([onset, apex], nets)
        if crops is not None:
            micro = moment.kind == "micro"
            aus = np.isin(AUS, list(moment.aus) if micro else []).astype(np.float32)
            rows.append((*crops, CLASSES.index(moment.label) if micro else len(CLASSES) - 1, aus, moment.peak_px, 0))
    return ImagePairs(*(np.array(column) for column in zip(*rows, strict=True)))


def concatenate(parts: Sequence[ImagePairs]) -> ImagePairs:
    """Concatenate the pairs of several clips."""
    return ImagePairs(
        *(np.concatenate(column) for column in zip(*(vars(part).values() for part in parts), strict=True))
    )


def displace(crops: np.ndarray, shift: float, zoom: float, turn_deg: float) -> np.ndarray:
    """Return crops (N, H, W) uint8 as a worse alignment would cut them."""
    height, width = crops.shape[1:]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn_deg, zoom)
    matrix[:, 2] += shift * width
    return np.stack([cv2.warpAffine(c, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE) for c in crops])


def scores(recognizer: Recognizer, data: Flows) -> dict[str, Any]:
    """Return the figures that are compared."""
    figures = score(recognizer, data)
    return {
        "pairs": figures["samples"],
        "expressions": int((data.label < len(CLASSES) - 1).sum()),
        "uf1_of_four": figures["uf1"],
        "uf1_of_expressions": figures["expressions"]["uf1"],
        "no_expression_right": figures["recall"]["no expression"],
        "au_auc": mean(figures["au_auc"]),
        "au_f1": mean(figures["au_f1"]),
        "ece": figures["ece"],
        "answered": figures["answered"],
    }


def draw_flows(peak_px: float) -> Flows:
    """Generate flows of one peak."""
    return draw(SEED, DRAWN, FlowSettings(peak_px=(peak_px, peak_px), no_expression=LIVE_SHARE))


def mean(by_au: dict[str, float]) -> float:
    """Average over the Action Units that occur."""
    return round(float(np.nanmean(list(by_au.values()))), 3)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=6, help="clips of 20 s per condition (default: 6)")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(".cache/bench_recognition"),
        help="folder of rendered clips (default: .cache/bench_recognition)",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    for portrait in PORTRAITS["test"]:
        footage(portrait.file)  # fetched once, before several processes ask for it
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = {
            condition.name: [pool.submit(examine, clip, options.cache) for clip in plan_clips(condition, options.clips)]
            for condition in CONDITIONS
        }
        try:
            for job in tqdm([job for each in jobs.values() for job in each], unit="clip", file=sys.stderr):
                job.result()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print("Stopped.", file=sys.stderr)
            return 130
    print(json.dumps(report({name: [job.result() for job in each] for name, each in jobs.items()}, options), indent=1))
    return 0


def report(examined: dict[str, list[tuple[ClipResult, ImagePairs]]], options: argparse.Namespace) -> dict[str, Any]:
    """Return everything that is printed."""
    recognizer = Recognizer.load(device="cpu")
    pairs = {name: concatenate([seen for _, seen in each]) for name, each in examined.items()}
    base = pairs[BASE.name]
    worse = {
        name: replace(base, onset=displace(base.onset, *error), apex=displace(base.apex, *error))
        for name, error in CROP_ERRORS.items()
    }
    return {
        "what": "recognition of micro-expressions on rendered clips",
        "host": host(),
        "bundle": {"name": recognizer.bundle.name, "sha256": recognizer.bundle.sha256},
        "clips": options.clips,
        "pairs": {
            method: {name: scores(recognizer, measure(seen, method=method)) for name, seen in (pairs | worse).items()}
            for method in METHODS
        },
        "detections": {name: score_classes(result for result, _ in each) for name, each in examined.items()},
        "drawn": {f"{px} px": scores(recognizer, draw_flows(px)) for px in (0.5, 1.0, 2.0)},
    }


if __name__ == "__main__":
    sys.exit(main())
