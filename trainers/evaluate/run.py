"""One recognizer, one protocol, one flow set: the document that `merau-lab evaluate --protocol` writes."""

from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import cpu_count
from tqdm import tqdm

from merau.calib.domain import LEAST, gap
from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.trainers.data.flow_set import FlowSet
from merau.trainers.evaluate import summary
from merau.trainers.evaluate.models import BASELINES, HEADS, NETWORKS, TUNED, Embedded, Merau, tuned
from merau.trainers.evaluate.predict import Answers, answer
from merau.trainers.evaluate.protocols import SPLITS, Learner, Trial, crossed, few_shot, zero_shot
from merau.trainers.evaluate.task import TASKS, Problem, pose
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
    problem: Problem
    trials: list[Trial]
    answers: Answers
    document: dict[str, Any]


def run(
    recognizer: Recognizer, data: FlowSet, settings: RunSettings, *, name: str = "", weights: Path = DEFAULT
) -> Run:
    """`weights` is the folder of the recognizer's bundle, for models that train it further.

    Raises UserError where the set has not what the protocol needs.
    """
    problem = pose(data, settings.task)
    answers = answer(recognizer, problem.data, problem.flow)
    return run_on(problem, answers, recognizer, settings, name=name, weights=weights)


def run_on(
    problem: Problem, answers: Answers, recognizer: Recognizer, settings: RunSettings, *, name: str, weights: Path
) -> Run:
    """The same where the `answers` of the recognizer to the problem are known."""
    torch.set_num_threads(1)  # the nets are small: threads wait for each other longer than they work
    learner = make_learner(problem, recognizer, answers, settings, weights)
    document = head(recognizer, problem, settings, name)
    if answers.placed and settings.model in ("merau", *HEADS):
        document["transductive"] = (
            f"How faces lie in the pictures of {', '.join(answers.placed)} was told from all samples of each database, "
            "without labels."
        )
    before: list[Trial] = []
    if settings.protocol == ZERO_SHOT:
        trials = [zero_shot(problem, learner)]
    elif settings.protocol == FEW_SHOT:
        pairs = [
            few_shot(problem, learner, shots=settings.shots, seed=seed)
            for seed in tqdm(range(settings.draws), desc="drawing", unit="draw", leave=False, disable=None)
        ]
        trials, before = [after for after, _ in pairs], [first for _, first in pairs if len(first.rows)]
    else:
        processes = min(cpu_count(), MOST_PROCESSES) if settings.model in SLOW else 1
        trials = [
            crossed(problem, learner, settings.protocol, seed, processes=processes) for seed in range(settings.seeds)
        ]
    document |= summary.scores(problem, trials)
    if before:
        document["zero_shot_on_the_same_queries"] = summary.scores(problem, before)
    if isinstance(learner, Merau) and learner.weights:
        weight = np.array(learner.weights)
        document["lesson_weight"] = {
            "mean": summary.rounded(weight.mean()),
            "lessons": len(weight),
            "lessons_of_weight_0": int((weight == 0).sum()),
        }
    document["domains"] = gaps(problem, answers)
    coded = summary.au_scores(problem.data.aus.tolist(), answers.aus, answers.units)
    if coded and settings.model == "merau":
        document["au_auc"] = coded | {"mean": summary.rounded(sum(coded.values()) / len(coded))}
    return Run(settings, problem, trials, answers, document)


def gaps(problem: Problem, answers: Answers) -> list[dict[str, Any]]:
    """How far the embeddings of each two databases lie apart; databases of too few samples are left out."""
    rows = {name: rows for name, rows in problem.rows_by_database().items() if len(rows) >= LEAST}
    measured = []
    for one, other in combinations(rows, 2):
        apart = gap(answers.embedding[rows[one]], answers.embedding[rows[other]])
        measured.append({"one": one, "other": other, "mmd2": summary.rounded(apart.mmd2), "p": apart.p_value})
    return measured


def make_learner(
    problem: Problem, recognizer: Recognizer, answers: Answers, settings: RunSettings, weights: Path
) -> Learner:
    if settings.model == "merau":
        return Merau(problem, recognizer, answers)
    if settings.model in HEADS:
        return Embedded(problem, answers, HEADS[settings.model])
    if settings.model in TUNED:
        return tuned(problem, weights, TUNED[settings.model])
    if settings.model in NETWORKS:
        return NETWORKS[settings.model](problem, best_epoch=settings.best_epoch)
    return BASELINES[settings.model](problem)


def head(recognizer: Recognizer, problem: Problem, settings: RunSettings, name: str) -> dict[str, Any]:
    """What was run on what."""
    counts = {
        database: {c: int((problem.label[rows] == i).sum()) for i, c in enumerate(problem.classes)}
        for database, rows in problem.rows_by_database().items()
    }
    uses_bundle = settings.model not in (*BASELINES, *NETWORKS)
    return {
        **({"warning": BEST_EPOCH} if settings.best_epoch else {}),
        **asdict(settings),
        "flows": name,
        "bundle": recognizer.bundle.name if uses_bundle else None,
        "bundle_sha256": recognizer.bundle.sha256 if uses_bundle else None,
        "classes": list(problem.classes),
        "samples": counts,
        "left_out": {"no_class_of_the_task": len(problem.other)},
    }
