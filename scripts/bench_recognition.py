"""What is recognized under one condition after another, told and found. Prints JSON.

    python scripts/bench_recognition.py                   # six clips a condition
    python scripts/bench_recognition.py --clips 1         # a quick look

Each condition differs from the first in one thing, with the same faces, micro-expressions and moments: animated
portraits of people that no recognizer was trained on, rendered once into --cache. "told" are pairs of frames at onset
and apex as the truth has them, and of moments without expression (three in five, as live), through mesh, alignment and
flow, DIS and Farneback with the bundle of each; crops are also moved, enlarged and turned on the way. "found" is what
the pipeline says of the whole clip: an event counts where it overlaps a micro-expression by half (IoU), one to one, and
as right where its class is right too. "drawn", to compare, is flow that was never a picture, of the same peaks.
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

from merau.engine.bundle import SHIPPED
from merau.engine.face_mesh import FaceNets
from merau.engine.recognizer import Recognizer
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.clips import STILL, HeadMotion
from merau.trainers.data.synth.flow_fields import CLASSES, LIVE_SHARE, Flows, FlowSettings, draw
from merau.trainers.data.synth.image_pairs import ImagePairs, align, measure
from merau.trainers.evaluate.clips import frames_at, read_pairs
from merau.trainers.evaluate.synthetic import score
from scripts.bench_spot import PORTRAITS, Clip, Heard, Said, animated, hear, host, match, rendered, share
from scripts.fetch_footage import footage

SEED = 3000
DRAWN = 4000  # flows for each peak


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
    *(Condition(f"{rate} frames/s", rate=rate) for rate in (25, 60, 100, 200)),
    Condition("0.5 Mbit/s", changes={"bit_rate": 500_000}),
    Condition("6 Mbit/s", changes={"bit_rate": 6_000_000}),
    Condition("the head is still", changes={"motion": STILL}),
    Condition("the head moves twice as much", changes={"motion": HeadMotion(0.05, 0.024, 2.4, 3.0, 2.4, 0.0008)}),
)
# Of told crops: moved to the right and down, crop widths; enlarged; turned, degrees.
CROP_ERRORS = {
    "crop moved by 3 %": (0.03, 1.0, 0.0),
    "crop moved by 7 %": (0.07, 1.0, 0.0),
    "crop a tenth too wide": (0.0, 0.9, 0.0),
    "crop a tenth too narrow": (0.0, 1.1, 0.0),
    "crop turned by 6 degrees": (0.0, 1.0, 6.0),
}


def clips_of(condition: Condition, count: int) -> list[Clip]:
    faces = PORTRAITS["test"]
    return [
        animated("micro", condition.rate, condition.peak_px, faces[i % len(faces)], SEED + i, **condition.changes)
        for i in range(count)
    ]


def examine(clip: Clip, cache: Path) -> tuple[Heard, ImagePairs]:
    """What the pipeline says of a clip, and the pairs that its truth tells of."""
    return hear(clip, cache), told(rendered(clip, cache), np.random.default_rng(clip.seed))


def told(video: Path, rng: np.random.Generator) -> ImagePairs:
    """Each micro-expression of a clip, onset to apex, and of the moments without as many as make up LIVE_SHARE."""
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


def joined(parts: Sequence[ImagePairs]) -> ImagePairs:
    return ImagePairs(
        *(np.concatenate(column) for column in zip(*(vars(part).values() for part in parts), strict=True))
    )


def displaced(crops: np.ndarray, shift: float, zoom: float, turn_deg: float) -> np.ndarray:
    """Crops (N, H, W) uint8 as a worse alignment would have cut them."""
    height, width = crops.shape[1:]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn_deg, zoom)
    matrix[:, 2] += shift * width
    return np.stack([cv2.warpAffine(c, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE) for c in crops])


def recognized(recognizer: Recognizer, data: Flows) -> dict[str, Any]:
    """The figures that are compared."""
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


def drawn(peak_px: float) -> Flows:
    return draw(SEED, DRAWN, FlowSettings(peak_px=(peak_px, peak_px), no_expression=LIVE_SHARE))


def mean(by_au: dict[str, float]) -> float:
    """Over the Action Units that were shown."""
    return round(float(np.nanmean(list(by_au.values()))), 3)


def found(heard: Sequence[Heard]) -> dict[str, Any]:
    """Events against micro-expressions, and how many of those found have their class."""
    pairs: list[tuple[dict[str, Any], Said]] = []
    true = said = 0
    for one in heard:
        spans = [span for span in one.spans if span["kind"] == "micro"]
        events = [event for event in one.said if event.kind == "micro"]
        pairs += [(spans[i], events[j]) for i, j in match(spans, events)]
        true, said = true + len(spans), said + len(events)
    right = sum(span["label"] == event.label for span, event in pairs)
    sure = [(span, event) for span, event in pairs if not event.uncertain]
    return {
        "true": true,
        "said": said,
        "found": len(pairs),
        "f1": share(2 * len(pairs), true + said),
        "right_of_found": share(right, len(pairs)),
        "f1_with_class": share(2 * right, true + said),
        "certain_of_found": share(len(sure), len(pairs)),
        "right_of_certain": share(sum(span["label"] == event.label for span, event in sure), len(sure)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=6, help="of 20 s for each condition (%(default)s)")
    parser.add_argument("--cache", type=Path, default=Path(".cache/bench_recognition"), help="folder of rendered clips")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    for portrait in PORTRAITS["test"]:
        footage(portrait.file)  # fetched once, before processes ask for it together
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = {
            condition.name: [pool.submit(examine, clip, options.cache) for clip in clips_of(condition, options.clips)]
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


def report(examined: dict[str, list[tuple[Heard, ImagePairs]]], options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is printed."""
    recognizer = Recognizer.load(device="cpu")
    farneback = Recognizer.load(SHIPPED / "farneback", device="cpu")
    pairs = {name: joined([seen for _, seen in each]) for name, each in examined.items()}
    base = pairs[BASE.name]
    worse = {
        name: replace(base, onset=displaced(base.onset, *error), apex=displaced(base.apex, *error))
        for name, error in CROP_ERRORS.items()
    }
    return {
        "what": "recognition of micro-expressions on rendered clips",
        "host": host(),
        "bundle": {"name": recognizer.bundle.name, "sha256": recognizer.bundle.sha256},
        "clips": options.clips,
        "told": {
            one.flow_method: {
                name: recognized(one, measure(seen, method=one.flow_method)) for name, seen in (pairs | worse).items()
            }
            for one in (recognizer, farneback)
        },
        "found": {name: found([heard for heard, _ in each]) for name, each in examined.items()},
        "drawn": {f"{px} px": recognized(recognizer, drawn(px)) for px in (0.5, 1.0, 2.0)},
    }


if __name__ == "__main__":
    sys.exit(main())
