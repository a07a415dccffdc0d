"""Scores of trials for a JSON document.

They are pooled, by database and by class, with intervals and calibration.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from merau.calib import probability
from merau.trainers.data.facs import undecided_units, unit_numbers
from merau.trainers.evaluate.metrics import auc, intervals, scores_of_counts
from merau.trainers.evaluate.protocols import Trial
from merau.trainers.evaluate.task import Task

BINS = 10
MIN_CODED = 5  # samples with and without a unit that its AUC needs


def scores(task: Task, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the scores of all trials.

    They are "full", of all samples pooled, "by_database", and the "reliability".

    Each part has UF1, UAR and accuracy as the mean over `trials`, their standard deviation `_sd` over trials and 95%
    interval `_interval` over subjects, scores by class and the confusion matrix.
    """
    return {
        "full": part_scores(task, trials, np.arange(len(task))),
        "by_database": {name: part_scores(task, trials, rows) for name, rows in task.rows_by_database().items()},
        "reliability": reliability(task, trials),
    }


def part_scores(task: Task, trials: Sequence[Trial], rows: np.ndarray) -> dict[str, Any]:
    """Return the scores of the predictions for samples among `rows`.

    Without any, only their number.
    """
    counts = confusions(task, trials, rows)
    if not counts.sum():
        return {"samples": 0, "subjects": 0}
    total = counts.sum(1)
    measured = scores_of_counts(total)
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


def confusions(task: Task, trials: Sequence[Trial], rows: np.ndarray) -> np.ndarray:
    """Return the confusion matrix of each trial and subject, (T, P, C, C), for samples among `rows`."""
    people, person = np.unique(task.data.person[rows], return_inverse=True)
    of_row = np.zeros(len(task), int)
    of_row[rows] = person
    counts = np.zeros((len(trials), len(people), len(task.classes), len(task.classes)))
    for t, trial in enumerate(trials):
        mine = np.isin(trial.rows, rows)
        tested, predicted = trial.rows[mine], trial.probabilities[mine].argmax(1)
        np.add.at(counts[t], (of_row[tested], task.label[tested], predicted), 1)
    return counts


def gains(task: Task, after: Sequence[Trial], before: Sequence[Trial]) -> dict[str, Any]:
    """Return what samples change, draw by draw: "full", of all databases pooled, and "by_database".

    Each has the mean gain in UF1 and its standard deviation over the draws, and the share of the draws that lose and
    that win. A database in which nothing was tested is left out.

    Args:
        task: The task.
        after: Trials with samples.
        before: Trials without, of the same queries in the same order.
    """
    parts = {name: part_gains(task, after, before, rows) for name, rows in task.rows_by_database().items()}
    return {
        "full": part_gains(task, after, before, np.arange(len(task))),
        "by_database": {name: part for name, part in parts.items() if part["draws"]},
    }


def part_gains(task: Task, after: Sequence[Trial], before: Sequence[Trial], rows: np.ndarray) -> dict[str, float]:
    """Return the gain in UF1 for samples among `rows`."""
    counts = [confusions(task, trials, rows).sum(1) for trials in (after, before)]
    tested = counts[0].any((1, 2))
    if not tested.any():
        return {"draws": 0}
    first, second = (scores_of_counts(each[tested])["uf1"] for each in counts)
    gain = np.round(first - second, 9)  # equal predictions gain nothing
    return {
        "draws": len(gain),
        "uf1": rounded(gain.mean()),
        "uf1_sd": rounded(gain.std()),
        "lost": rounded((gain < 0).mean()),
        "won": rounded((gain > 0).mean()),
    }


def by_class(counts: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return samples, F1, recall and precision of each class that occurs.

    `counts` is the confusion matrix (C, C).
    """
    hits, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    return {
        name: {
            "samples": rounded(true[c]),
            "f1": rounded(2 * hits[c] / (true[c] + predicted[c])),
            "recall": rounded(hits[c] / true[c]),
            "precision": rounded(hits[c] / max(predicted[c], 1e-9)),
        }
        for c, name in enumerate(classes)
        if true[c]
    }


def reliability(task: Task, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return expected calibration error and reliability.

    A tenth has its share of the predictions, their number in a trial, their mean confidence and their accuracy.
    """
    label = np.concatenate([task.label[trial.rows] for trial in trials])
    probabilities = np.concatenate([trial.probabilities for trial in trials])
    right = probabilities.argmax(1) == label
    confidence, accuracy, count = probability.reliability(probabilities.max(1), right, bins=BINS)
    columns = ("share", "samples", "confidence", "accuracy")
    rows = zip(count / count.sum(), count / len(trials), confidence, accuracy, strict=True)
    return {
        "ece": rounded(probability.expected_calibration_error(probabilities, label)),
        "bins": [dict(zip(columns, map(rounded, row), strict=True)) for row in rows],
    }


def au_scores(coded: Sequence[str], aus: np.ndarray, units: Sequence[str]) -> dict[str, float]:
    """Return the AUC of each Action Unit.

    A unit needs at least five samples that show it and five that do not.

    Args:
        coded: (N,) codes like "1+2+R4"; a sample is left out of the AUC of a unit that its coders left open.
        aus: (N, A) predicted probabilities.
        units: Names of the A Action Units.
    """
    known = np.array([bool(codes) for codes in coded])
    present, undecided = zip(*((unit_numbers(codes), undecided_units(codes)) for codes in coded), strict=True)
    scores = {}
    for i, unit in enumerate(units):
        rows = known & np.array([unit not in codes for codes in undecided])
        truth = np.array([unit in codes for codes in present], int)[rows]
        if min(truth.sum(), (1 - truth).sum()) >= MIN_CODED:
            scores[unit] = rounded(auc(truth, aus[rows, i]))
    return scores


def rounded(value: float) -> float:
    """Return `value` with four decimals."""
    return round(float(value), 4)
