"""Scores of classes and Action Units.

Labels and predictions are (N,) integers, Action Units (N, A).
"""

import numpy as np

BOOTSTRAP_DRAWS = 1000
COVERAGE = 0.95  # of the intervals


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix (classes, classes).

    It counts true class (rows) by predicted class (columns).
    """
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def class_scores(labels: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float]:
    """Return UF1, UAR and accuracy.

    UF1 and UAR are eqs. 12 and 13 of MERAU, over the classes that occur in `labels`.
    """
    return {name: float(value) for name, value in scores_of_counts(confusion(labels, predicted, classes)).items()}


def scores_of_counts(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return UF1, UAR and accuracy (...) of confusion matrices (..., C, C)."""
    hits, true, predicted = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)
    present = true > 0
    classes = np.maximum(present.sum(-1), 1)
    f1 = np.where(present, 2 * hits / np.maximum(true + predicted, 1e-9), 0)
    recall = np.where(present, hits / np.maximum(true, 1e-9), 0)
    return {
        "uf1": f1.sum(-1) / classes,
        "uar": recall.sum(-1) / classes,
        "acc": hits.sum(-1) / np.maximum(true.sum(-1), 1e-9),
    }


def intervals(by_person: np.ndarray, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return 95% intervals of UF1, UAR and accuracy over people, by bootstrap.

    Args:
        by_person: (T, P, C, C) confusion matrices of P people in T trials; each draw takes one trial and P people with
            replacement.
        rng: Source of the draws.
    """
    trials, people = by_person.shape[:2]
    often = rng.multinomial(people, np.full(people, 1 / people), BOOTSTRAP_DRAWS)  # (draws, P)
    which = rng.integers(trials, size=BOOTSTRAP_DRAWS)
    drawn = np.einsum("dp,dpij->dij", often, by_person[which])
    tail = 100 * (1 - COVERAGE) / 2
    return {
        name: (float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail)))
        for name, values in scores_of_counts(drawn).items()
    }


def auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the ROC curve of `score` (N,) for `truth` (N,) of 0 and 1.

    NaN without both kinds.

    Ties count half.
    """
    positive, negative = int(truth.sum()), int((1 - truth).sum())
    if not positive or not negative:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((rank[truth > 0].sum() - positive * (positive + 1) / 2) / (positive * negative))


def mean_auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the mean `auc` over the columns (N, A) that hold both kinds.

    NaN where none does.
    """
    areas = np.array([auc(*columns) for columns in zip(truth.T, score.T, strict=True)])
    known = ~np.isnan(areas)
    return float(areas[known].mean()) if known.any() else float("nan")


def f1(truth: np.ndarray, present: np.ndarray) -> float:
    """Return F1 of binary decisions `present` (N,) against `truth` (N,) of 0 and 1.

    NaN where nothing is true.
    """
    hits = float((truth * present).sum())
    return 2 * hits / float(truth.sum() + present.sum()) if truth.any() else float("nan")
