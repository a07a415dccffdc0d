"""Scores of classes and Action Units. Labels and predictions are (N,) integers, Action Units (N, A)."""

import numpy as np

DRAWS = 1000  # of the bootstrap
COVERED = 0.95


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): rows are the truth."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def class_scores(labels: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float]:
    """UF1, UAR and ACC: eqs. 12 and 13 of MERAU and plain accuracy, over the classes that occur in `labels`."""
    return {name: float(value) for name, value in counted_scores(confusion(labels, predicted, classes)).items()}


def counted_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """The same from confusions (..., C, C), one score each."""
    hits, true, said = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)
    present = true > 0
    classes = np.maximum(present.sum(-1), 1)
    f1 = np.where(present, 2 * hits / np.maximum(true + said, 1e-9), 0)
    recall = np.where(present, hits / np.maximum(true, 1e-9), 0)
    return {
        "uf1": f1.sum(-1) / classes,
        "uar": recall.sum(-1) / classes,
        "acc": hits.sum(-1) / np.maximum(true.sum(-1), 1e-9),
    }


def intervals(by_person: np.ndarray, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """95 % intervals of UF1, UAR and ACC over people, by bootstrap: `by_person` (T, P, C, C) are the confusions of P
    people in T trials; each draw takes one trial and P people with replacement.
    """
    trials, people = by_person.shape[:2]
    often = rng.multinomial(people, np.full(people, 1 / people), DRAWS)  # (draws, P)
    which = rng.integers(trials, size=DRAWS)
    drawn = np.einsum("dp,dpij->dij", often, by_person[which])
    tail = 100 * (1 - COVERED) / 2
    return {
        name: (float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail)))
        for name, values in counted_scores(drawn).items()
    }


def auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve of `score` (N,) for `truth` (N,) of 0 and 1; ties count half. nan without both kinds."""
    positive, negative = int(truth.sum()), int((1 - truth).sum())
    if not positive or not negative:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((rank[truth > 0].sum() - positive * (positive + 1) / 2) / (positive * negative))


def mean_auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Mean `auc` over the columns of `truth` and `score` (N, A) that hold both kinds; nan where none does."""
    areas = np.array([auc(*columns) for columns in zip(truth.T, score.T, strict=True)])
    known = ~np.isnan(areas)
    return float(areas[known].mean()) if known.any() else float("nan")


def f1(truth: np.ndarray, present: np.ndarray) -> float:
    """F1 of binary decisions `present` (N,) against `truth` (N,) of 0 and 1; nan where nothing is true."""
    hits = float((truth * present).sum())
    return 2 * hits / float(truth.sum() + present.sum()) if truth.any() else float("nan")
