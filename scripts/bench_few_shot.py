"""What a few samples of known classes add, by how strongly the correction is anchored to the bundle. Prints JSON.

    python scripts/bench_few_shot.py         # ten minutes

Six made-up databases of people and geometry that no bundle was trained on, with the classes of MEGC2019's composite
set in their shares, are drawn as flow sets: three under usual conditions, three under hard ones. As in the few-shot
protocol, five samples of each class of a database are shown and the rest is tested, with and without them.
"""

import argparse
import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from merau.engine import few_shot
from merau.engine.recognizer import Recognizer
from merau.trainers.data.flow_set import FlowSet
from merau.trainers.data.synth.set_fields import ICT_HARD, R1, draw_images
from merau.trainers.data.synth.statistics import REAL_SHARES
from merau.trainers.evaluate.run import RunSettings, run
from scripts.support.host import host

DATABASES = {f"{name} {i}": settings for name, settings in (("usual", R1), ("hard", ICT_HARD)) for i in range(3)}
SAMPLES, SEED = 160, 880_000
STRENGTHS = (4.0, 15.0, 30.0, 60.0, 120.0)  # of the anchor, in samples


def main() -> None:
    """Print the gain in UF1 for each strength of the anchor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=100, help="draws of samples (default: 100)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"seed of the databases (default: {SEED})")
    parser.add_argument("--bundle", type=Path, help="a bundle's folder (default: default)")
    options = parser.parse_args()
    recognizer, data = Recognizer.load(options.bundle, device="cpu"), draw_databases(options.seed)
    shipped = few_shot.ANCHORS["anchored"]
    document: dict[str, Any] = {
        "host": host(),
        "bundle": recognizer.bundle.name,
        "sha256": recognizer.bundle.sha256,
        "seed": options.seed,
        "draws": options.draws,
        "shipped_strength": shipped,
        "gain": {},
    }
    for strength in sorted({shipped, *STRENGTHS}):
        few_shot.ANCHORS["anchored"] = strength
        done = run(recognizer, data, RunSettings(protocol="few-shot", draws=options.draws)).document
        document["zero_shot_uf1"] = done["zero_shot_on_the_same_queries"]["full"]["uf1"]
        document["gain"][strength] = done["gain"]
    print(json.dumps(document, indent=1))


def draw_databases(seed: int, samples: int = SAMPLES) -> FlowSet:
    """Draw the databases as one flow set."""
    parts = []
    for i, (name, settings) in enumerate(DATABASES.items()):
        shown = replace(settings, shares=REAL_SHARES, samples_per_face=8)
        image, label, _ = draw_images(seed + i, samples, shown)
        row = np.arange(samples).astype(str)
        columns = {"dataset": np.full(samples, name), "subject": row, "sample": row, "label": label, "image": image}
        columns |= {text: np.full(samples, "") for text in ("emotion", "aus", "frames", "crops")}
        parts.append(FlowSet(**columns, duration_s=np.full(samples, np.nan)))
    return FlowSet(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(FlowSet)))


if __name__ == "__main__":
    main()
