"""Classify onset-apex pairs of real footage: `python scripts/bench_footage.py` prints JSON.

A recognizer that was trained on synthetic faces must get two things right on real ones. A growing smile is positive
with Action Units 12 and 6, and a quiet face shows no expression. The quiet faces are every pair of frames 2 to 10 apart
in the first 0.5 s of single_face.mp4, and in two stretches of WolfgangLanger_Pexels.mp4 in which a person looks aside
and moves a little.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import numpy as np

from merau.engine.face_mesh import FaceNets
from merau.engine.recognizer import Prediction, Recognizer
from merau.trainers.data.synth.image_pairs import align
from scripts.support.footage import footage

SMILE = ((10, 20), (10, 25), (10, 30), (10, 45), (5, 60))  # frames: a neutral one, and one with a growing or full smile
QUIET_S = (
    ("single_face.mp4", 0.0, 0.5),
    ("WolfgangLanger_Pexels.mp4", 7.0, 8.3),
    ("WolfgangLanger_Pexels.mp4", 13.43, 14.6),
)
LAGS = (2, 3, 4, 5, 6, 8, 10)


def main() -> None:
    """Print the classes of both kinds of pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="recognizer bundle (default: the shipped one)")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8", help="(default: int8)")
    options = parser.parse_args()
    recognizer, nets = Recognizer.load(options.bundle, device="cpu", precision=options.precision), FaceNets()

    frames, _ = read("single_face.mp4")
    smile = {
        f"{onset}-{apex}": describe(classify(recognizer, nets, frames[onset], frames[apex])) for onset, apex in SMILE
    }
    quiet = {}
    total: Counter[str] = Counter()
    for name, from_s, to_s in QUIET_S:
        frames, times = read(name)
        stretch = [frame for frame, t in zip(frames, times, strict=True) if from_s <= t <= to_s]
        pairs = [(a, b) for lag in LAGS for a, b in zip(stretch, stretch[lag:], strict=False)]
        labels = Counter(classify(recognizer, nets, a, b).label for a, b in pairs)
        quiet[f"{name} {from_s}-{to_s} s"] = dict(labels)
        total += labels
    share = total["no expression"] / total.total()
    bundle = {"bundle": recognizer.bundle.name, "sha256": recognizer.bundle.sha256, "precision": options.precision}
    print(json.dumps({**bundle, "smile": smile, "quiet": quiet, "quiet_no_expression": round(share, 3)}, indent=2))


def read(name: str) -> tuple[list[np.ndarray], list[float]]:
    """Return all frames (H, W, 3) uint8 BGR of a clip, and their times in seconds."""
    with av.open(str(footage(name))) as container:
        frames = list(container.decode(video=0))
        return [frame.to_ndarray(format="bgr24") for frame in frames], [float(frame.time or 0) for frame in frames]


def classify(recognizer: Recognizer, nets: FaceNets, onset: np.ndarray, apex: np.ndarray) -> Prediction:
    """Return the prediction for two frames (H, W, 3) uint8 BGR of one face."""
    crops = align([onset, apex], nets)
    if crops is None:
        sys.exit("The face is lost in a frame that shows one.")
    return recognizer.predict(*crops)


def describe(prediction: Prediction) -> dict[str, Any]:
    """Return the label, its probability, and the likely Action Units."""
    return {
        "label": prediction.label,
        "probability": round(prediction.probabilities[prediction.label], 2),
        "aus": {au: round(p, 2) for au, p in prediction.aus.items() if p >= 0.3},
    }


if __name__ == "__main__":
    main()
