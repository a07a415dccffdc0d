"""One model, one protocol, one flow set.

This is the document that `merau-lab evaluate --protocol` writes.
"""

from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import cpu_count
from tqdm import tqdm

from merau.calib.domain import MIN_SAMPLES, domain_distance
from merau.engine.recognizer import Recognizer
from merau.engine.validation import check, check_choice, check_range
from merau.trainers.baselines.losses import LOSSES
from merau.trainers.baselines.network import Network
from merau.trainers.data import flow_set
from merau.trainers.data.flow_set import FlowSet
from merau.trainers.data.synth.seeds import EVALUATION_SEED
from merau.trainers.evaluate import summary
from merau.trainers.evaluate.models import (
    BASELINES,
    FROM_MACRO,
    HEADS,
    NETWORKS,
    TUNED,
    EmbeddingHead,
    FewShotMerau,
    is_own,
    load_own,
    make_fine_tuned,
)
from merau.trainers.evaluate.predict import Predictions, predict
from merau.trainers.evaluate.protocols import SPLITS, Model, Trial, cross_validate, few_shot, zero_shot
from merau.trainers.evaluate.task import TASKS, Task, is_task_file, make_task, with_synthetic
from merau.trainers.export.bundle import DEFAULT

FEW_SHOT, ZERO_SHOT = "few-shot", "zero-shot"
OWN_LOSS = "own"
SHOWN, SYNTHETIC = "shown", "synthetic"
SYNTHETIC_SAMPLES = 3000
PROTOCOLS = (ZERO_SHOT, FEW_SHOT, *SPLITS)
SLOW = (*TUNED, *NETWORKS, *FROM_MACRO)  # a fold takes seconds, not milliseconds
MODELS = ("merau", *HEADS, *TUNED, *BASELINES, *NETWORKS, *FROM_MACRO)
MAX_PROCESSES = 8  # each takes some 500 MB
BEST_EPOCH = "best-epoch: each fold kept the epoch that did best on its own TEST samples, as some publications do"


@dataclass(frozen=True)
class RunSettings:
    """What to run.

    Attributes:
        protocol: Name of a protocol.
        model: Name of a model, or MODULE:CLASS of one's own.
        task: Name of a task, or a YAML file of one's own.
        shots: Samples of each class that few-shot shows.
        draws: How often few-shot draws them.
        seeds: How often a protocol that splits the set runs.
        best_epoch: Whether networks keep the epoch that is best on the test data, to imitate some publications.
        loss: Loss of a network, a key of `losses.LOSSES`; "own" for that of its paper.
        train: What zero-shot trains on: nothing, or "synthetic" samples, for models that must be trained.
        macro: Indices of flow sets of macro-expressions, which some models learn from as well.
    """

    protocol: str = ZERO_SHOT
    model: str = "merau"
    task: str = "cde"
    shots: int = 5
    draws: int = 100
    seeds: int = 1
    best_epoch: bool = False
    loss: str = OWN_LOSS
    macro: tuple[str, ...] = ()
    train: str = SHOWN

    def __post_init__(self) -> None:
        check_choice(self, "protocol", PROTOCOLS)
        if not is_own(self.model):
            check_choice(self, "model", MODELS)
        if not is_task_file(self.task):
            check_choice(self, "task", TASKS)
        check_range(self, "shots", "draws", "seeds", low=1)
        trains_in_epochs = self.model in NETWORKS
        check(self, "best_epoch", trains_in_epochs or not self.best_epoch, f"it only for {', '.join(NETWORKS)}")
        check_choice(self, "train", (SHOWN, SYNTHETIC))
        alone = self.train == SHOWN or (self.protocol == ZERO_SHOT and self.model in (*BASELINES, *NETWORKS))
        check(self, "train", alone, "it only for zero-shot, and a baseline or a network")
        check_choice(self, "loss", (OWN_LOSS, *LOSSES))
        check(self, "loss", trains_in_epochs or self.loss == OWN_LOSS, f"it only for {', '.join(NETWORKS)}")


@dataclass(frozen=True)
class Run:
    """A finished run.

    It has settings, the `document` for the JSON, and what the report draws from.
    """

    settings: RunSettings
    task: Task
    trials: list[Trial]
    predictions: Predictions
    document: dict[str, Any]


def run(
    recognizer: Recognizer, data: FlowSet, settings: RunSettings, *, name: str = "", weights: Path = DEFAULT
) -> Run:
    """Predict the samples of the task, then run the protocol as `run_on` does.

    Args:
        recognizer: The recognizer whose embedding the models use.
        data: The flow set.
        settings: What to run.
        name: Name of the set in the document.
        weights: Folder of the recognizer's bundle, for models that train it further.

    Raises:
        UserError: The set lacks what the protocol needs.
    """
    task = make_task(data, settings.task)
    predictions = predict(recognizer, task.data, task.flow)
    return run_on(task, predictions, recognizer, settings, name=name, weights=weights)


def run_on(
    task: Task, predictions: Predictions, recognizer: Recognizer, settings: RunSettings, *, name: str, weights: Path
) -> Run:
    """Run the protocol on a task for which the recognizer's `predictions` are known."""
    torch.set_num_threads(1)  # the nets are small: threads wait for each other longer than they work
    if settings.train == SYNTHETIC:
        everything = with_synthetic(task, SYNTHETIC_SAMPLES, EVALUATION_SEED)
        model: Model = OnSynthetic(make_model(everything, recognizer, predictions, settings, weights), everything)
    else:
        model = make_model(task, recognizer, predictions, settings, weights)
    document = describe_run(recognizer, task, settings, name)
    trials, before = run_trials(task, model, settings)
    document |= summary.scores(task, trials)
    timed = model.model if isinstance(model, OnSynthetic) else model
    document |= timed.cost() if isinstance(timed, Network) else {}
    if before:
        document["zero_shot_on_the_same_queries"] = summary.scores(task, before)
        document["gain"] = summary.gains(task, trials, before)
    document["domains"] = database_distances(task, predictions)
    coded = summary.au_scores(task.data.aus.tolist(), predictions.aus, predictions.units)
    if coded and settings.model == "merau":
        document["au_auc"] = coded | {"mean": summary.rounded(sum(coded.values()) / len(coded))}
    return Run(settings, task, trials, predictions, document)


@dataclass(frozen=True)
class OnSynthetic:
    """A model that learns from the synthetic samples of `task` alone."""

    model: Model
    task: Task

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        """See `protocols.Model`; the rows `train` are ignored."""
        return self.model(np.flatnonzero(self.task.data.dataset == "synthetic"), test, seed=seed)


def run_trials(task: Task, model: Model, settings: RunSettings) -> tuple[list[Trial], list[Trial]]:
    """Return the trials of the protocol.

    Few-shot also has trials of the same queries without samples.
    """
    if settings.protocol == ZERO_SHOT:
        return [zero_shot(task, model)], []
    if settings.protocol == FEW_SHOT:
        seeds = tqdm(range(settings.draws), desc="drawing", unit="draw", leave=False, disable=None)
        pairs = [few_shot(task, model, shots=settings.shots, seed=seed) for seed in seeds]
        return [after for after, _ in pairs], [before for _, before in pairs if len(before.rows)]
    processes = min(cpu_count(), MAX_PROCESSES) if settings.model in SLOW else 1
    trials = [
        cross_validate(task, model, settings.protocol, seed, processes=processes) for seed in range(settings.seeds)
    ]
    return trials, []


def database_distances(task: Task, predictions: Predictions) -> list[dict[str, Any]]:
    """Return how far the embeddings of each two databases are apart.

    Databases of too few samples are left out.
    """
    rows = {name: rows for name, rows in task.rows_by_database().items() if len(rows) >= MIN_SAMPLES}
    measured = []
    for one, other in combinations(rows, 2):
        distance = domain_distance(predictions.embedding[rows[one]], predictions.embedding[rows[other]])
        measured.append({"one": one, "other": other, "mmd2": summary.rounded(distance.mmd2), "p": distance.p_value})
    return measured


def make_model(
    task: Task, recognizer: Recognizer, predictions: Predictions, settings: RunSettings, weights: Path
) -> Model:
    """Return the model that `settings` names."""
    if is_own(settings.model):
        return load_own(settings.model, task)
    if settings.model == "merau":
        return FewShotMerau(task, recognizer, predictions)
    if settings.model in HEADS:
        return EmbeddingHead(task, predictions, HEADS[settings.model])
    if settings.model in TUNED:
        return make_fine_tuned(task, weights, TUNED[settings.model])
    if settings.model in FROM_MACRO:
        macro = flow_set.read(*map(Path, settings.macro)) if settings.macro else None
        return FROM_MACRO[settings.model](task, macro)
    if settings.model in NETWORKS:
        network = NETWORKS[settings.model](task, best_epoch=settings.best_epoch)
        return network if settings.loss == OWN_LOSS else replace(network, loss=settings.loss)
    return BASELINES[settings.model](task)


def uses_a_bundle(model: str) -> bool:
    """Return whether the model `model` runs on a bundle's embedding."""
    return not is_own(model) and model not in (*BASELINES, *NETWORKS, *FROM_MACRO)


def describe_run(recognizer: Recognizer, task: Task, settings: RunSettings, name: str) -> dict[str, Any]:
    """Return the first fields of the document: what was run on what."""
    counts = {
        database: {c: int((task.label[rows] == i).sum()) for i, c in enumerate(task.classes)}
        for database, rows in task.rows_by_database().items()
    }
    uses_bundle = uses_a_bundle(settings.model)
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
