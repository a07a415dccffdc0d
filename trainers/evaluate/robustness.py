"""LightmanNet's robustness test: accuracy when a share of the samples is masked, noisy or grey (section 5.3)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from merau.engine.recognizer import Recognizer
from merau.trainers.data.changes.changed_set import change_set
from merau.trainers.data.changes.corruptions import CORRUPTIONS, SHARES
from merau.trainers.data.flow_set import FlowSet
from merau.trainers.evaluate.run import RunSettings, run


def corrupt(data: FlowSet, folder: Path, corruption: str, share: float, seed: int) -> FlowSet:
    """Return `data` with `share` of its samples corrupted; see `change_set` for what is raised."""
    count = round(share * len(data))
    chosen = np.random.default_rng(seed).permutation(len(data))[:count]
    return change_set(data, folder, CORRUPTIONS[corruption], chosen.tolist(), seed=seed)


def compare(
    wanted: Sequence[RunSettings], data: FlowSet, recognizer: Recognizer, weights: Path, *, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """Run `wanted` on the set as it is and with each corruption of each share of the samples, training included.

    Yields:
        For each run the model's name, and the accuracy in percent: "clean", of each share the mean over the three
        corruptions (the paper's G), and in "parts" that of each corruption.
    """
    with TemporaryDirectory() as folder:
        sets = {"clean": corrupt(data, Path(folder) / "clean", "grey", 0, seed)}
        sets |= {
            f"{kind} {share:.0%}": corrupt(data, Path(folder) / f"{kind}-{share}", kind, share, seed)
            for share in SHARES
            for kind in CORRUPTIONS
            if kind != "grey"  # frames are grey already
        }
        for settings in wanted:
            parts = {
                name: 100 * run(recognizer, seen, settings, weights=weights).document["full"]["acc"]
                for name, seen in sets.items()
            }
            parts |= {f"grey {share:.0%}": parts["clean"] for share in SHARES}
            means = {f"{s:.0%}": round(np.mean([parts[f"{kind} {s:.0%}"] for kind in CORRUPTIONS]), 2) for s in SHARES}
            parts = {name: round(accuracy, 2) for name, accuracy in parts.items()}
            yield {"model": settings.model, "clean": parts.pop("clean"), **means, "parts": parts}


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table."""
    header = [name for name in rows[0] if name != "parts"]
    lines = [header, ["---"] * len(header), *([str(row[name]) for name in header] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
