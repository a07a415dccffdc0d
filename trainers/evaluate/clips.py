"""Scores of a recognizer on synthetic clips.

True onset and apex frames pass mesh, alignment and flow.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from tqdm import tqdm

from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.engine.recognizer import Recognizer
from merau.trainers.data.synth.flow_fields import NO_EXPRESSION
from merau.trainers.data.synth.image_pairs import align
from merau.trainers.data.synth.timelines import action_units

QUIET_PAIRS = 40  # pairs drawn from each clip, 0.08 to 0.35 s apart; those in which nothing moves are kept
EXPRESSIVE = ("micro", "macro")
NOMINAL_PX = (0.5, 1, 2)  # strengths by which micro-expressions are grouped


@dataclass(frozen=True)
class LabelledPair:
    """Onset and apex of one movement of a clip, with its ground truth."""

    onset_s: float
    apex_s: float
    kind: str
    label: str
    peak_px: float
    aus: frozenset[int] = frozenset()


def score_clips(recognizer: Recognizer, folder: Path) -> dict[str, Any]:
    """Return number and accuracy of each group of movements.

    Micro- and macro-expressions have their own class, everything else "no expression". `folder` holds NAME.mp4 with
    NAME.truth.json, as `merau-lab synth clips` writes them.
    """
    videos = [path for path in sorted(folder.glob("*.mp4")) if path.with_suffix(".truth.json").exists()]
    if not videos:
        raise UserError(f"There is no clip with ground truth in {folder}: expected NAME.mp4 and NAME.truth.json.")
    nets, rng = FaceNets(), np.random.default_rng(0)
    correct: dict[str, list[bool]] = {}
    for video in tqdm(videos, desc="scoring clips", unit="clip"):
        pairs = read_pairs(video, rng)
        frames = frames_at(video, [t for pair in pairs for t in (pair.onset_s, pair.apex_s)])
        for pair, onset, apex in zip(pairs, frames[::2], frames[1::2], strict=True):
            crops = align([onset, apex], nets)
            if crops is None:
                continue
            truth = pair.label if pair.kind in EXPRESSIVE else NO_EXPRESSION
            correct.setdefault(group(pair), []).append(recognizer.predict(*crops).label == truth)
    return {
        name: {"pairs": len(right), "right": round(float(np.mean(right)), 3)} for name, right in sorted(correct.items())
    }


def group(pair: LabelledPair) -> str:
    """Return the kind; for micro-expressions also the nearest of NOMINAL_PX."""
    if pair.kind != "micro":
        return pair.kind
    return f"micro {min(NOMINAL_PX, key=lambda px: abs(np.log2(pair.peak_px / px)))} px"


def read_pairs(video: Path, rng: np.random.Generator) -> list[LabelledPair]:
    """Return the clip's spans, and pairs drawn from its quiet stretches."""
    truth = json.loads(video.with_suffix(".truth.json").read_text(encoding="utf-8"))
    spans = truth["spans"]
    pairs = [
        LabelledPair(span["onset_s"], span["apex_s"], span["kind"], span["label"], span["peak_px"], aus_of(span))
        for span in spans
    ]
    for _ in range(QUIET_PAIRS):
        start = rng.uniform(0.2, truth["duration_s"] - 1)
        end = start + rng.uniform(0.08, 0.35)
        if all(span["offset_s"] < start - 0.03 or span["onset_s"] > end + 0.03 for span in spans):
            pairs.append(LabelledPair(start, end, "quiet", "", 0.0))
    return pairs


def aus_of(span: dict[str, Any]) -> frozenset[int]:
    """Return the Action Units that a span of the ground truth shows."""
    return frozenset(au for ramp in span["pulses"] for au, _ in action_units(ramp["amounts"]))


def frames_at(video: Path, times_s: Sequence[float]) -> list[np.ndarray]:
    """Return the frame nearest to each time, (H, W, 3) uint8 BGR."""
    wanted = np.array(times_s)
    nearest = np.full(len(wanted), np.inf)
    images: list[np.ndarray] = [np.empty(0)] * len(wanted)
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            distance = np.abs(wanted - float(frame.time or 0))
            closer = np.flatnonzero(distance < nearest)
            if len(closer):
                image = frame.to_ndarray(format="bgr24")
                nearest[closer] = distance[closer]
                for i in closer:
                    images[i] = image
    return images
