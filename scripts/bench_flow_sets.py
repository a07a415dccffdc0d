"""How the recognizer reads flow sets with other flow methods, other crops or another strain. Prints JSON.

    python scripts/bench_flow_sets.py         # ten minutes

A regression test only; `merau-lab bench truth` is the bench to steer by.

Needs the training extras (pip install -e '.[train]'): TV-L1, the method of MEGC2019's composite set, comes from
scikit-image. Portraits of six people that no recognizer was trained on are animated, aligned, measured and written as
flow sets in the public format, which `merau-lab predict` reads. The figures are UF1 of the three expressions among
themselves and the AUC of the Action Units; "twelve" are those that certified coders often see in CASME II and SAMM.
One thing is changed at a time.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.crop import CropSpec
from merau.engine.flow import flow
from merau.engine.recognizer import Recognizer
from merau.trainers.data import flow_set
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import EXPRESSIONS
from merau.trainers.data.synth.image_pairs import draw_pairs
from merau.trainers.evaluate.metrics import auc, class_scores
from merau.trainers.evaluate.predict import predict
from scripts.support.footage import footage
from scripts.support.host import host

SIX = ("0-f1-su-ph.jpg", "0-f15-hao-ph.jpg", "15-f13-anc-ph.jpg", "45-m7-di-ph.jpg", "single_face.jpg")
SIX += ("Tom_Hanks_54745.png",)
TWELVE = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)
SEED = 777
PEAK_PX = (0.5, 2.8)  # at a 128-px crop
SIDE_PX = 128  # of a set's crop
SHIFT_SD, ZOOM_SD, TURN_SD_DEG = 0.02, 0.03, 2.0  # of each crop, beside its layout


@dataclass(frozen=True)
class Layout:
    """How a set crops faces, relative to `engine.crop`: zoom across and down, shift right and down in crop widths."""

    across: float = 1.0
    down: float = 1.0
    right: float = 0.0
    drop: float = 0.0
    turn_deg: float = 0.0


LAYOUTS = {
    "wider": Layout(0.8, 0.8, drop=-0.02),
    "tighter": Layout(1.2, 1.2, drop=0.03),
    "taller": Layout(1.0, 1.2, drop=0.05, turn_deg=2),
    "flatter": Layout(1.15, 0.9, 0.02, -0.04, -2),
    "lower": Layout(0.95, 1.0, -0.02, 0.08),
    "higher": Layout(1.0, 0.95, 0.02, -0.08),
}


def tv_l1(onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
    """Return the TV-L1 flow (2, H, W) px of two crops (H, W) uint8."""
    from skimage.registration import optical_flow_tvl1

    down, across = optical_flow_tvl1(onset / np.float32(255), apex / np.float32(255))
    return np.stack([across, down])


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "TV-L1": tv_l1,
    "Farneback": lambda onset, apex: flow(onset, apex, method="farneback"),
    "DIS": lambda onset, apex: flow(onset, apex, method="dis"),
}


def cropped(rng: np.random.Generator, field: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the flow (2, 128, 128) px in a set with `layout`, from the flow (2, H, W) px of a full crop."""
    spec, angle = CropSpec(), np.deg2rad(layout.turn_deg + rng.normal(0, TURN_SD_DEG))
    zoom = np.diag(np.array([layout.across, layout.down]) * np.exp(rng.normal(0, ZOOM_SD, 2)))
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ zoom
    middle = np.array([spec.side_px, spec.top_px]) + spec.size_px / 2
    to = SIDE_PX * (0.5 + np.array([layout.right, layout.drop]) + rng.normal(0, SHIFT_SD, 2))
    matrix = np.column_stack([linear, to - linear @ middle])
    moved = [cv2.warpAffine(axis, matrix, (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REPLICATE) for axis in field]
    return np.tensordot(linear, moved, 1).astype(np.float32)


def strain_after(field: np.ndarray) -> np.ndarray:
    """Draw a flow image whose strain is computed after downsampling."""
    return flow_set.encode_flow(np.stack([cv2.resize(a, (28, 28), interpolation=cv2.INTER_AREA) for a in field]))


def no_strain(field: np.ndarray) -> np.ndarray:
    """Draw a flow image with the length of the motion in place of its strain."""
    picture = flow_set.encode_flow(field)
    length = cv2.resize(np.hypot(*field), (28, 28), interpolation=cv2.INTER_AREA)
    picture[..., 0] = np.round(255 * length / length.max())
    return picture


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pairs", type=int, default=900, help="pairs to draw, a third of them without expression (default: 900)"
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    drawn = draw_pairs([footage(name) for name in SIX], options.pairs, SEED)
    shown = (drawn.label < len(EXPRESSIONS)) & (drawn.peak_px >= PEAK_PX[0]) & (drawn.peak_px <= PEAK_PX[1])
    fields = {
        name: [
            method(onset, apex)
            for onset, apex in zip(tqdm(drawn.onset[shown], desc=name), drawn.apex[shown], strict=True)
        ]
        for name, method in METHODS.items()
    }
    sets = {f"{name}, crop of ours": (fields[name], Layout(), flow_set.encode_flow) for name in METHODS}
    sets |= {f"TV-L1, {name}": (fields["TV-L1"], layout, flow_set.encode_flow) for name, layout in LAYOUTS.items()}
    sets["TV-L1, strain of the small flow"] = fields["TV-L1"], Layout(), strain_after
    sets["TV-L1, length in place of strain"] = fields["TV-L1"], Layout(), no_strain
    recognizer = Recognizer.load(device="cpu")
    rows = {name: scored(recognizer, made, drawn.label[shown], drawn.aus[shown]) for name, made in tqdm(sets.items())}
    document = {"host": host(), "bundle": recognizer.bundle.name, "sha256": recognizer.bundle.sha256}
    print(json.dumps(document | {"samples": int(shown.sum()), "sets": rows}, indent=1))
    return 0


def scored(recognizer: Recognizer, made: tuple[Any, ...], label: np.ndarray, aus: np.ndarray) -> dict[str, Any]:
    """Score `recognizer` on a set that is made of (fields, layout, function that draws a flow image)."""
    fields, layout, draw = made
    rng = np.random.default_rng(SEED)
    pictures = [draw(cropped(rng, field, layout)) for field in fields]
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index.csv"
        rows = [{"dataset": "made", "subject": "1", "sample": i, "label": kind} for i, kind in enumerate(label)]
        flow_set.write(index, rows, pictures)
        data = flow_set.read(index)
        said = predict(recognizer, data, flow_set.read_flows(data))
    by_unit = {unit: auc(aus[:, AUS.index(unit)], said.aus[:, i]) for i, unit in enumerate(map(int, said.units))}
    twelve = {unit: by_unit[unit] for unit in TWELVE}
    lowest = min(twelve, key=twelve.__getitem__)
    return {
        "uf1": round(class_scores(label, said.classes.argmax(1), len(EXPRESSIONS))["uf1"], 3),
        "auc": round(float(np.mean(list(by_unit.values()))), 3),
        "auc_of_twelve": round(float(np.mean(list(twelve.values()))), 3),
        "lowest_of_twelve": {f"AU{lowest}": round(twelve[lowest], 3)},
        "by_unit": {unit: round(value, 3) for unit, value in by_unit.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
