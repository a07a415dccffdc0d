"""Scores of classes and Action Units. Labels and predictions are (N,) integers, Action Units (N, A)."""

import numpy as np


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): rows are the truth."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def class_scores(labels: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float]:
    """UF1, UAR and ACC: eqs. 12 and 13 of MERAU and plain accuracy, over the classes that occur in `labels`."""
    counts = confusion(labels, predicted, classes)
    hits, true, said = np.diag(counts), counts.sum(1), counts.sum(0)
    present = true > 0
    f1 = 2 * hits[present] / (true + said)[present]
    return {
        "uf1": float(f1.mean()),
        "uar": float((hits[present] / true[present]).mean()),
        "acc": float(hits.sum() / counts.sum()),
    }


def auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve of `score` (N,) for `truth` (N,) of 0 and 1; ties count half. nan without both kinds."""
    positive, negative = int(truth.sum()), int((1 - truth).sum())
    if not positive or not negative:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((rank[truth > 0].sum() - positive * (positive + 1) / 2) / (positive * negative))


def f1(truth: np.ndarray, present: np.ndarray) -> float:
    """F1 of binary decisions `present` (N,) against `truth` (N,)."""
    hits = float((truth * present).sum())
    return 2 * hits / max(float(truth.sum() + present.sum()), 1.0)
