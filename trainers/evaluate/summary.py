"""From trials to the numbers of a JSON: pooled, per database, per class, with what they owe to chance."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from merau.calib import probability
from merau.trainers.data.flow_set import undecided_units, unit_numbers
from merau.trainers.evaluate.metrics import auc, counted_scores, intervals
from merau.trainers.evaluate.protocols import Trial
from merau.trainers.evaluate.task import Task

BINS = 10


def scores(task: Task, trials: Sequence[Trial]) -> dict[str, Any]:
    """ "full" over all samples pooled and "by_database". Each has UF1, UAR and ACC as the mean over `trials`, their
    standard deviation `_sd` over trials and 95 % interval `_interval` over subjects, per class and as confusion.
    """
    every = np.arange(len(task))
    return {
        "full": part(task, trials, every),
        "by_database": {name: part(task, trials, rows) for name, rows in task.rows_by_database().items()},
        "reliability": reliability(task, trials),
    }


def part(task: Task, trials: Sequence[Trial], rows: np.ndarray) -> dict[str, Any]:
    """The scores of those answers that are to samples among `rows`; without any, only their number."""
    people, person = np.unique(task.data.person[rows], return_inverse=True)
    of_row = np.zeros(len(task), int)
    of_row[rows] = person
    counts = np.zeros((len(trials), len(people), len(task.classes), len(task.classes)))
    for t, trial in enumerate(trials):
        mine = np.isin(trial.rows, rows)
        asked, said = trial.rows[mine], trial.probabilities[mine].argmax(1)
        np.add.at(counts[t], (of_row[asked], task.label[asked], said), 1)
    if not counts.sum():
        return {"samples": 0, "subjects": 0}
    total = counts.sum(1)
    measured = counted_scores(total)
    bounds = intervals(counts, np.random.default_rng(0))
    result: dict[str, Any] = {
        "samples": round(float(total.sum((1, 2)).mean())),
        "subjects": int((counts.sum((0, 2, 3)) > 0).sum()),
    }
    for name, values in measured.items():
        result[name] = rounded(values.mean())
        result[f"{name}_sd"] = rounded(values.std())
        result[f"{name}_interval"] = [rounded(bound) for bound in bounds[name]]
    mean = total.mean(0)
    return result | {"classes": by_class(mean, task.classes), "confusion": np.round(mean, 2).tolist()}


def by_class(counts: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Samples, F1, recall and precision of each class that occurs; rows of `counts` (C, C) are the truth."""
    hits, true, said = np.diag(counts), counts.sum(1), counts.sum(0)
    return {
        name: {
            "samples": rounded(true[c]),
            "f1": rounded(2 * hits[c] / (true[c] + said[c])),
            "recall": rounded(hits[c] / true[c]),
            "precision": rounded(hits[c] / max(said[c], 1e-9)),
        }
        for c, name in enumerate(classes)
        if true[c]
    }


def reliability(task: Task, trials: Sequence[Trial]) -> dict[str, Any]:
    """Expected calibration error, and per tenth of confidence: the share of the answers, their number in a trial, their
    mean confidence, the accuracy.
    """
    label = np.concatenate([task.label[trial.rows] for trial in trials])
    said = np.concatenate([trial.probabilities for trial in trials])
    confidence, accuracy, count = probability.reliability(said.max(1), said.argmax(1) == label, bins=BINS)
    columns = ("share", "samples", "confidence", "accuracy")
    rows = zip(count / count.sum(), count / len(trials), confidence, accuracy, strict=True)
    return {
        "ece": rounded(probability.expected_calibration_error(said, label)),
        "bins": [dict(zip(columns, map(rounded, row), strict=True)) for row in rows],
    }


def au_scores(coded: Sequence[str], aus: np.ndarray, units: Sequence[str]) -> dict[str, float]:
    """AUC of each Action Unit in `units` that at least five of the samples coded have: `coded` (N,) like "1+2+R4",
    `aus` (N, A) what was said. A sample in which a unit was left open takes no part in that unit's.
    """
    known = np.array([bool(codes) for codes in coded])
    present, undecided = zip(*((unit_numbers(codes), undecided_units(codes)) for codes in coded), strict=True)
    scores = {}
    for i, unit in enumerate(units):
        rows = known & np.array([unit not in codes for codes in undecided])
        truth = np.array([unit in codes for codes in present], int)[rows]
        if min(truth.sum(), (1 - truth).sum()) >= 5:
            scores[unit] = rounded(auc(truth, aus[rows, i]))
    return scores


def rounded(value: float) -> float:
    return round(float(value), 4)
