"""What a bundle says of a flow set, all samples at once."""

import csv
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from merau.engine import heads
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.few_shot import Sample
from merau.engine.preprocess import apex_image
from merau.engine.recognizer import Recognizer
from merau.trainers.data.emotions import coarse
from merau.trainers.data.flow_set import CLASSES, FlowSet, read_crops
from merau.trainers.evaluate import crop_search
from merau.trainers.export.bundle import trunk_inputs

BATCH = 256


@dataclass(frozen=True)
class Predictions:
    """For N samples: `classes` (N, 3) over flow_set.CLASSES, rows sum to 1; `known` (N, C) over the bundle's own
    classes; `aus` (N, A), 0..1; `embedding` (N, d) float32. `names` and `units` name the columns of known and aus;
    `crop_searched` are the databases of which it was told from all their samples how faces lie.
    """

    classes: np.ndarray
    known: np.ndarray
    aus: np.ndarray
    embedding: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    crop_searched: tuple[str, ...]

    def samples(self, labels: list[str]) -> list[Sample]:
        """The samples as `engine.few_shot` takes them, labelled."""
        return [
            Sample(label, e, dict(zip(self.names, p, strict=True)), dict(zip(self.units, a, strict=True)))
            for label, e, p, a in zip(labels, self.embedding, self.known.tolist(), self.aus.tolist(), strict=True)
        ]


def predict(recognizer: Recognizer, data: FlowSet, flow: np.ndarray) -> Predictions:
    """`recognizer` on `data` with its `flow` (N, 2, 32, 32), where the size of the motion is not known.

    How faces lie is told for each database from its flow (`crop_search`), unless it comes with the crops of `prepare`,
    which lie as they should. Raises UserError where the bundle's classes do not tell negative, positive and surprise
    apart.
    """
    names, units = recognizer.head.classes, tuple(recognizer.bundle.card["aus"])
    apex = apex_images(data, recognizer.apex_px)

    def known(embedding: np.ndarray) -> np.ndarray:
        return heads.softmax(recognizer.head.logits(embedding) / recognizer.temperature)

    def clarity(embedding: np.ndarray) -> float:
        return float((known(embedding) @ coarse_membership(names)).max(1).mean())

    embedding: np.ndarray = np.empty((len(flow), recognizer.head.dimension), np.float32)
    au_logits = np.empty((len(flow), len(units)), np.float32)
    crop_searched = tuple(
        name for name in np.unique(data.dataset).tolist() if not all(data.crops[data.dataset == name])
    )
    for name in np.unique(data.dataset):
        rows = np.flatnonzero(data.dataset == name)
        trunk = partial(embed, recognizer, None if apex is None else apex[rows])
        found = crop_search.embed(flow[rows], trunk, clarity) if name in crop_searched else trunk(flow[rows])
        embedding[rows], au_logits[rows] = found
    said = known(embedding)
    return Predictions(
        to_coarse(said, names), said, recognizer.au_probabilities(au_logits), embedding, names, units, crop_searched
    )


def embed(recognizer: Recognizer, apex: np.ndarray | None, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embedding (n, d) and Action Unit logits (n, A) of `flow` (n, 2, 32, 32) as it lies."""
    inputs = trunk_inputs(recognizer.apex_px, flow, apex, known=False)
    parts = [
        recognizer.trunk.embed(**{name: rows[i : i + BATCH] for name, rows in inputs.items()})
        for i in range(0, len(flow), BATCH)
    ]
    embedding, au_logits = (np.concatenate(part) for part in zip(*parts, strict=True))
    return embedding, au_logits


def apex_images(data: FlowSet, apex_px: int) -> np.ndarray | None:
    """Apex pictures (N, 1, apex_px, apex_px) float32 in 0..1, for a trunk that looks at them and a set with crops."""
    if not apex_px or not all(data.crops):
        return None
    return np.stack([apex_image(read_crops(path)[1], CropSpec(), apex_px) for path in data.crops])


def to_coarse(known: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Probabilities (N, 3) over CLASSES from those (N, C) of a bundle's classes `names`: what belongs to none of the
    three, as "no expression", is left out.
    """
    three = known @ coarse_membership(names) + 1e-12
    return three / three.sum(1, keepdims=True)


def coarse_membership(names: tuple[str, ...]) -> np.ndarray:
    """(C, 3) of 0 and 1: which of CLASSES each of a bundle's classes `names` belongs to. UserError where one of the
    three has none.
    """
    belongs = np.array([[coarse(name) == kind for kind in CLASSES] for name in names], float)
    if not belongs.any(0).all():
        raise UserError(f"The bundle answers {', '.join(names)}: not negative, positive and surprise.")
    return belongs


def write(path: Path, data: FlowSet, predictions: Predictions) -> None:
    """One row a sample, in the order of `data`. Raises UserError where `path` cannot be written."""
    numbers = np.concatenate([predictions.classes, predictions.aus, predictions.embedding], 1)
    header = [f"p_{name}" for name in CLASSES] + [f"au_{unit}" for unit in predictions.units]
    header += [f"e_{i}" for i in range(predictions.embedding.shape[1])]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(["dataset", "subject", "sample", *header])
            for *who, values in zip(data.dataset, data.subject, data.sample, numbers, strict=True):
                table.writerow([*who, *(f"{value:.6g}" for value in values)])
    except OSError as error:
        raise UserError(f"The predictions cannot be written to {path}: {error.strerror}.") from error
