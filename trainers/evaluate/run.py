"""One recognizer, one protocol, one flow set: the document that `merau-lab evaluate --protocol` writes."""

from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import cpu_count
from tqdm import tqdm

from merau.calib.domain import MIN_SAMPLES, domain_distance
from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.trainers.data.flow_set import FlowSet
from merau.trainers.evaluate import summary
from merau.trainers.evaluate.models import (
    BASELINES,
    HEADS,
    NETWORKS,
    TUNED,
    EmbeddingHead,
    FewShotMerau,
    make_fine_tuned,
)
from merau.trainers.evaluate.predict import Predictions, predict
from merau.trainers.evaluate.protocols import SPLITS, Model, Trial, cross_validate, few_shot, zero_shot
from merau.trainers.evaluate.task import TASKS, Task, make_task
from merau.trainers.export.bundle import DEFAULT

FEW_SHOT, ZERO_SHOT = "few-shot", "zero-shot"
PROTOCOLS = (ZERO_SHOT, FEW_SHOT, *SPLITS)
SLOW = (*TUNED, *NETWORKS)  # a fold takes seconds, not milliseconds
MODELS = ("merau", *HEADS, *TUNED, *BASELINES, *NETWORKS)
MOST_PROCESSES = 8  # each takes some 500 MB
BEST_EPOCH = "best-epoch: each fold kept the epoch that did best on its own TEST samples, as some publications do"


@dataclass(frozen=True)
class RunSettings:
    """`seeds` passes of a protocol that splits the set; `draws` of `shots` samples a class for few-shot."""

    protocol: str = ZERO_SHOT
    model: str = "merau"
    task: str = "cde"
    shots: int = 5
    draws: int = 100
    seeds: int = 1
    best_epoch: bool = False

    def __post_init__(self) -> None:
        for name, choices in (("protocol", PROTOCOLS), ("model", MODELS), ("task", tuple(TASKS))):
            if getattr(self, name) not in choices:
                raise UserError(f"{name} is {getattr(self, name)!r}: choose one of {', '.join(choices)}.")
        for name in ("shots", "draws", "seeds"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: choose 1 or more.")
        if self.best_epoch and self.model not in NETWORKS:
            raise UserError(f"{self.model} is not trained in epochs: leave best-epoch to {', '.join(NETWORKS)}.")


@dataclass(frozen=True)
class Run:
    """What was asked, `document` for the JSON, and what the report draws from."""

    settings: RunSettings
    task: Task
    trials: list[Trial]
    predictions: Predictions
    document: dict[str, Any]


def run(
    recognizer: Recognizer, data: FlowSet, settings: RunSettings, *, name: str = "", weights: Path = DEFAULT
) -> Run:
    """`weights` is the folder of the recognizer's bundle, for models that train it further.

    Raises UserError where the set has not what the protocol needs.
    """
    task = make_task(data, settings.task)
    predictions = predict(recognizer, task.data, task.flow)
    return run_on(task, predictions, recognizer, settings, name=name, weights=weights)


def run_on(
    task: Task, predictions: Predictions, recognizer: Recognizer, settings: RunSettings, *, name: str, weights: Path
) -> Run:
    """The same where the `predictions` of the recognizer to the problem are known."""
    torch.set_num_threads(1)  # the nets are small: threads wait for each other longer than they work
    model = make_model(task, recognizer, predictions, settings, weights)
    document = head(recognizer, task, settings, name)
    if predictions.crop_searched and settings.model in ("merau", *HEADS):
        names = ", ".join(predictions.crop_searched)
        document["transductive"] = (
            f"Transductive: for {names} the crop was searched over all samples of the database, without labels."
        )
    before: list[Trial] = []
    if settings.protocol == ZERO_SHOT:
        trials = [zero_shot(task, model)]
    elif settings.protocol == FEW_SHOT:
        pairs = [
            few_shot(task, model, shots=settings.shots, seed=seed)
            for seed in tqdm(range(settings.draws), desc="drawing", unit="draw", leave=False, disable=None)
        ]
        trials, before = [after for after, _ in pairs], [first for _, first in pairs if len(first.rows)]
    else:
        processes = min(cpu_count(), MOST_PROCESSES) if settings.model in SLOW else 1
        trials = [
            cross_validate(task, model, settings.protocol, seed, processes=processes) for seed in range(settings.seeds)
        ]
    document |= summary.scores(task, trials)
    if before:
        document["zero_shot_on_the_same_queries"] = summary.scores(task, before)
    if isinstance(model, FewShotMerau) and model.weights:
        weight = np.array(model.weights)
        document["lesson_weight"] = {
            "mean": summary.rounded(weight.mean()),
            "lessons": len(weight),
            "lessons_of_weight_0": int((weight == 0).sum()),
        }
    document["domains"] = gaps(task, predictions)
    coded = summary.au_scores(task.data.aus.tolist(), predictions.aus, predictions.units)
    if coded and settings.model == "merau":
        document["au_auc"] = coded | {"mean": summary.rounded(sum(coded.values()) / len(coded))}
    return Run(settings, task, trials, predictions, document)


def gaps(task: Task, predictions: Predictions) -> list[dict[str, Any]]:
    """How far the embeddings of each two databases lie apart; databases of too few samples are left out."""
    rows = {name: rows for name, rows in task.rows_by_database().items() if len(rows) >= MIN_SAMPLES}
    measured = []
    for one, other in combinations(rows, 2):
        apart = domain_distance(predictions.embedding[rows[one]], predictions.embedding[rows[other]])
        measured.append({"one": one, "other": other, "mmd2": summary.rounded(apart.mmd2), "p": apart.p_value})
    return measured


def make_model(
    task: Task, recognizer: Recognizer, predictions: Predictions, settings: RunSettings, weights: Path
) -> Model:
    if settings.model == "merau":
        return FewShotMerau(task, recognizer, predictions)
    if settings.model in HEADS:
        return EmbeddingHead(task, predictions, HEADS[settings.model])
    if settings.model in TUNED:
        return make_fine_tuned(task, weights, TUNED[settings.model])
    if settings.model in NETWORKS:
        return NETWORKS[settings.model](task, best_epoch=settings.best_epoch)
    return BASELINES[settings.model](task)


def head(recognizer: Recognizer, task: Task, settings: RunSettings, name: str) -> dict[str, Any]:
    """What was run on what."""
    counts = {
        database: {c: int((task.label[rows] == i).sum()) for i, c in enumerate(task.classes)}
        for database, rows in task.rows_by_database().items()
    }
    uses_bundle = settings.model not in (*BASELINES, *NETWORKS)
    return {
        **({"warning": BEST_EPOCH} if settings.best_epoch else {}),
        **asdict(settings),
        "flows": name,
        "bundle": recognizer.bundle.name if uses_bundle else None,
        "bundle_sha256": recognizer.bundle.sha256 if uses_bundle else None,
        "classes": list(task.classes),
        "samples": counts,
        "left_out": {"no_class_of_the_task": len(task.other)},
    }
