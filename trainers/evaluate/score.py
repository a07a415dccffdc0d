"""Scores of predictions that were made elsewhere: a CSV of predictions beside a CSV of the truth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from merau.calib.probability import expected_calibration_error
from merau.engine.csv_table import parse_decimal, read_csv
from merau.engine.errors import UserError
from merau.trainers.data.flow_set import CLASSES, subject_key
from merau.trainers.evaluate.metrics import intervals, scores_of_counts
from merau.trainers.evaluate.summary import by_class, rounded

KEY = ("dataset", "subject", "sample")
LABELS = ("label", "emotion", "predicted")  # columns that may hold the class, the first that is there counts
Key = tuple[str, ...]


@dataclass(frozen=True)
class Matched:
    """Samples of which both truth and prediction are known.

    Attributes:
        classes: Names of the C classes.
        dataset: (N,) str.
        person: (N,) integers, one for each subject of a data set.
        truth: (N,) index into `classes`.
        predicted: (N,) index into `classes`.
        probabilities: (N, C), or None where the predictions are classes only.
        without: Samples of the truth that have no prediction; they count as wrong.
    """

    classes: tuple[str, ...]
    dataset: np.ndarray
    person: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None
    without: int


def match(predictions: Path, truth: Path) -> Matched:
    """Match predictions and truth by dataset, subject and sample.

    The truth's classes are in its column label, or else emotion; 0, 1, 2 are negative, positive, surprise. The
    predictions have columns p_CLASS, or one column label or predicted. A sample without a prediction counts as wrong.

    Raises:
        UserError: A column is missing, a sample is named twice, or no sample is in both.
    """
    wanted = read_labels(truth)
    classes = tuple(sorted(set(wanted.values())))
    known, probable = read_predictions(predictions, classes)
    if not wanted.keys() & known.keys():
        raise UserError(f"{predictions} and {truth} have no sample in common: compare their columns {', '.join(KEY)}.")
    keys = list(wanted)
    index = {name: i for i, name in enumerate(classes)}
    label = np.array([index[wanted[key]] for key in keys])
    other = (label + 1) % len(classes)  # a class that is wrong
    predicted = np.array([index.get(known.get(key, ""), -1) for key in keys])
    predicted = np.where(predicted < 0, other, predicted)
    chances = np.stack([probable[key] for key in keys]) if probable and probable.keys() >= wanted.keys() else None
    people = np.unique([f"{dataset}\n{subject}" for dataset, subject, _ in keys], return_inverse=True)[1]
    missing = len(wanted.keys() - known.keys())
    return Matched(classes, np.array([key[0] for key in keys]), people, label, predicted, chances, missing)


def read_labels(path: Path) -> dict[Key, str]:
    """Return the class of every labelled sample of a truth."""
    column, rows = read_rows(path, ("label", "emotion"))
    return {key: class_name(row[column]) for key, row in rows.items() if row[column]}


def read_predictions(path: Path, classes: tuple[str, ...]) -> tuple[dict[Key, str], dict[Key, np.ndarray]]:
    """Return the predicted class of every sample, and its probabilities (C,) where the file has them."""
    columns = [f"p_{name}" for name in classes]
    if not set(columns) <= set(read_csv(path).header):
        column, rows = read_rows(path, LABELS)
        return {key: class_name(row[column]) for key, row in rows.items()}, {}
    _, rows = read_rows(path, tuple(columns))
    try:
        chances = {key: np.array([parse_decimal(row[name]) for name in columns]) for key, row in rows.items()}
    except ValueError as error:
        raise UserError(f"{path}: {error.args[0]!r} is no probability.") from error
    return {key: classes[int(row.argmax())] for key, row in chances.items()}, chances


def read_rows(path: Path, columns: tuple[str, ...]) -> tuple[str, dict[Key, dict[str, str]]]:
    """Return the first of `columns` that `path` has, and its rows by dataset, subject and sample.

    Raises:
        UserError: A column is missing, or a sample is named twice.
    """
    table = read_csv(path)
    found = [name for name in columns if name in table.header]
    missing = [name for name in KEY if name not in table.header]
    if missing or not found:
        lacks = ", ".join(missing) or " or ".join(columns)
        raise UserError(f"{path} lacks the column {lacks}: its first line must name {', '.join(KEY)} and a class.")
    rows: dict[Key, dict[str, str]] = {}
    for line, row in table.rows(KEY):
        key = (row["dataset"].lower(), subject_key(row["subject"]), row["sample"])
        if key in rows:
            raise UserError(f"{path}, line {line} repeats the sample {'/'.join(key)}.")
        rows[key] = row
    return found[0], rows


def class_name(text: str) -> str:
    """Return a class in one spelling; 0, 1 and 2 are those of MEGC2019."""
    plain = text.strip().lower()
    numbers = {str(form(i)): name for i, name in enumerate(CLASSES) for form in (int, float)}
    return numbers.get(plain, plain)


def scores(matched: Matched) -> dict[str, Any]:
    """Return UF1, UAR and accuracy with 95% intervals over subjects, of all samples and by data set and class."""
    every = np.ones(len(matched.truth), bool)
    document: dict[str, Any] = {
        "classes": list(matched.classes),
        "without_prediction": matched.without,
        "full": part(matched, every),
        "by_database": {str(n): part(matched, matched.dataset == n) for n in np.unique(matched.dataset)},
    }
    if matched.probabilities is not None:
        total = np.maximum(matched.probabilities.sum(1, keepdims=True), 1e-9)
        document["ece"] = rounded(expected_calibration_error(matched.probabilities / total, matched.truth))
    return document


def part(matched: Matched, rows: np.ndarray) -> dict[str, Any]:
    """Return the scores of the samples `rows` (N,) bool."""
    people, person = np.unique(matched.person[rows], return_inverse=True)
    size = len(matched.classes)
    counts = np.zeros((1, len(people), size, size))
    np.add.at(counts[0], (person, matched.truth[rows], matched.predicted[rows]), 1)
    total = counts.sum((0, 1))
    bounds = intervals(counts, np.random.default_rng(0))
    result: dict[str, Any] = {"samples": int(rows.sum()), "subjects": len(people)}
    for name, value in scores_of_counts(total).items():
        result[name] = rounded(float(value))
        result[f"{name}_interval"] = [rounded(bound) for bound in bounds[name]]
    return result | {"by_class": by_class(total, matched.classes), "confusion": total.astype(int).tolist()}
