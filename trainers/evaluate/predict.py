"""Predictions of a bundle for a flow set, all samples at once."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merau.engine import heads
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.few_shot import Sample
from merau.engine.preprocess import apex_image
from merau.engine.recognizer import Recognizer
from merau.trainers.baselines.frames import read_strips
from merau.trainers.data.emotions import coarse
from merau.trainers.data.flow_set import CLASSES, FlowSet, read_crops
from merau.trainers.export.bundle import slice_inputs, trunk_inputs

BATCH = 256


@dataclass(frozen=True)
class Predictions:
    """Predictions for N samples.

    Attributes:
        classes: (N, 3) probabilities over flow_set.CLASSES.
        own_classes: (N, C) probabilities over the bundle's own classes.
        aus: (N, A) probabilities of Action Units.
        embedding: (N, d) float32.
        names: Names of the bundle's classes.
        units: Names of the Action Units.
    """

    classes: np.ndarray
    own_classes: np.ndarray
    aus: np.ndarray
    embedding: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]

    def samples(self, labels: list[str]) -> list[Sample]:
        """Return the samples, with `labels`, as `engine.few_shot` takes them."""
        return [
            Sample(label, e, dict(zip(self.names, p, strict=True)), dict(zip(self.units, a, strict=True)))
            for label, e, p, a in zip(labels, self.embedding, self.own_classes.tolist(), self.aus.tolist(), strict=True)
        ]


def predict(recognizer: Recognizer, data: FlowSet, flow: np.ndarray) -> Predictions:
    """Run `recognizer` on `data`.

    `flow` (N, 2, 32, 32) has unknown magnitude. Each sample is predicted by itself, whatever else is in the set.

    Raises:
        UserError: The bundle's classes do not cover negative, positive and surprise, or it sees frames, which the set
            lacks.
    """
    names, units = recognizer.head.classes, tuple(recognizer.bundle.card["aus"])
    embedding, au_logits = embed(recognizer, data, flow)
    own = heads.softmax(recognizer.head.logits(embedding) / recognizer.temperature)
    return Predictions(to_coarse(own, names), own, recognizer.au_probabilities(au_logits), embedding, names, units)


def embed(recognizer: Recognizer, data: FlowSet, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return embedding (n, d) and Action Unit logits (n, A) of `flow` (n, 2, 32, 32), or of the frames of `data`."""
    if recognizer.clip:
        inputs = recognizer.clip.inputs(read_strips(data, f"Bundle {recognizer.bundle.name}"))
    else:
        inputs = trunk_inputs(recognizer.apex_px, flow, apex_images(data, recognizer.apex_px), known=False)
    parts = [recognizer.trunk.embed(**slice_inputs(inputs, slice(i, i + BATCH))) for i in range(0, len(flow), BATCH)]
    embedding, au_logits = (np.concatenate(part) for part in zip(*parts, strict=True))
    return embedding, au_logits


def apex_images(data: FlowSet, apex_px: int) -> np.ndarray | None:
    """Return apex images (N, 1, apex_px, apex_px) float32 in 0..1.

    None for a trunk that sees none, `apex_px` 0, and for a set without crops.
    """
    if not apex_px or not all(data.crops):
        return None
    return np.stack([apex_image(read_crops(path)[1], CropSpec(), apex_px) for path in data.crops])


def to_coarse(probabilities: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Turn probabilities (N, C) over the classes `names` into (N, 3) over CLASSES.

    A class that belongs to none of the three, such as "no expression", is left out.
    """
    three = probabilities @ coarse_membership(names) + 1e-12
    return np.asarray(three / three.sum(1, keepdims=True))


def coarse_membership(names: tuple[str, ...]) -> np.ndarray:
    """Return which of CLASSES each of the classes `names` belongs to.

    The result is (C, 3) of 0 and 1.

    Raises UserError where one of the three has none.
    """
    belongs = np.array([[coarse(name) == kind for kind in CLASSES] for name in names], float)
    if not belongs.any(0).all():
        raise UserError(f"The bundle predicts {', '.join(names)}, not negative, positive and surprise.")
    return belongs


def write(path: Path, data: FlowSet, predictions: Predictions) -> None:
    """Write one row for each sample, in the order of `data`.

    Raises UserError where `path` cannot be written.
    """
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
