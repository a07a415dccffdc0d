"""Whether removing head motion helps the live path, on faces that no recognizer was trained on. Prints JSON.

    python scripts/bench_head_motion.py        # 300 pairs, three minutes on one core

Portraits of people kept out of training move as scans kept out of training do. Each pair passes noise, compression,
mesh and alignment; its flow is measured twice: less the fitted motion of the head, as in the live path, and as it is.
"removed" and "left in" are the scores of the two. Everything is synthetic.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.bundle import resolve
from merau.engine.crop import CropSpec
from merau.engine.flow import METHODS, flow, pair_flow
from merau.engine.preprocess import downsample
from merau.engine.recognizer import Recognizer
from merau.trainers.data.synth.flow_fields import Flows
from merau.trainers.data.synth.image_pairs import ImagePairs, draw_pairs
from merau.trainers.evaluate.metrics import auc
from merau.trainers.evaluate.synthetic import score
from merau.trainers.export.bundle import trunk_inputs
from scripts.support.footage import footage
from scripts.support.host import host

PORTRAITS = ("0-f15-hao-ph.jpg", "15-f13-anc-ph.jpg", "45-m7-di-ph.jpg", "Tom_Hanks_54745.png")
SEED = 4000


def measured(pairs: ImagePairs, method: str, *, removed: bool) -> Flows:
    """Measure the flow of each pair, less the motion of the head or with it."""
    spec, fields = CropSpec(), []
    for onset, apex in zip(tqdm(pairs.onset, desc=method), pairs.apex, strict=True):
        whole = flow(onset, apex, method=method)[:, *spec.inner]
        fields.append(downsample(pair_flow(onset, apex, spec=spec, method=method) if removed else whole))
    return Flows(np.stack(fields), pairs.label, pairs.aus, pairs.peak_px, np.ones(len(fields), bool))


def figures(recognizer: Recognizer, data: Flows) -> dict[str, Any]:
    """Return what is compared."""
    found = score(recognizer, data)
    embedding, _ = recognizer.trunk.embed(**trunk_inputs(recognizer.apex_px, data.flow))
    none = data.label == data.label.max()
    return {
        "uf1_of_expressions": found["expressions"]["uf1"],
        "uf1_of_four": found["uf1"],
        "none_auc": round(auc(none.astype(float), 1 - recognizer.expressed(embedding)), 3),
        "au_auc": round(float(np.nanmean(list(found["au_auc"].values()))), 3),
        "by_peak_px": found["by_peak_px"],
    }


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300, help="pairs to draw (default: 300)")
    parser.add_argument("--bundle", type=resolve, default="default", help="recognizer (default: default)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    recognizer = Recognizer.load(options.bundle, device="cpu")
    pairs = draw_pairs([footage(name) for name in PORTRAITS], options.pairs, SEED, geometry="scans", held_out=True)
    rows = {
        method: {
            name: figures(recognizer, measured(pairs, method, removed=name == "removed"))
            for name in ("removed", "left in")
        }
        for method in METHODS
    }
    expressions = int((pairs.label < pairs.label.max()).sum())
    document = {"host": host(), "bundle": recognizer.bundle.name, "sha256": recognizer.bundle.sha256}
    print(json.dumps(document | {"pairs": options.pairs, "expressions": expressions, "methods": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
