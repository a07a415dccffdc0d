"""The report of a run: one HTML file that needs nothing else."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from sklearn.decomposition import PCA
from sklearn.svm import LinearSVC

from merau.calib.probability import reliability_svg
from merau.engine.html import render
from merau.trainers.evaluate.run import Run
from merau.trainers.evaluate.task import Task

SIDE = 300  # of the scatter plot
CELLS = 100  # a side, of its shading
MIN_IN_BIN = 5  # predictions; the accuracy of fewer is chance


@dataclass(frozen=True)
class Region:
    """A run of cells of one class, in a row of the scatter plot's shading."""

    label: int
    x: float
    y: float
    width: float


@dataclass(frozen=True)
class Scatter:
    """The scatter plot.

    It has points as (label, x, y), shaded regions of height `cell`, and the accuracy of the shading.
    """

    points: list[tuple[int, float, float]]
    regions: list[Region]
    accuracy: float
    side: int = SIDE
    cell: float = SIDE / CELLS


def page(run: Run) -> str:
    """Return the report of `run` as HTML."""
    document = run.document
    return render(
        "merau.trainers.evaluate",
        "report.html.j2",
        document=document,
        amount=describe_amount(document),
        parts=parts(document),
        scored_classes=[name for name in document["classes"] if name in document["full"]["classes"]],
        gains=gains(document),
        confusions=[(name, confusion_rows(part, document["classes"])) for name, part in parts(document)],
        reliability=reliability(document["reliability"]),
        min_in_bin=MIN_IN_BIN,
        scatter=scatter(run.predictions.embedding, run.task),
    )


def parts(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the scores of all samples pooled, then of each database that was tested."""
    databases = [(name, part) for name, part in document["by_database"].items() if part["samples"]]
    return [("all", document["full"]), *(databases if len(databases) > 1 else [])]


def describe_amount(document: dict[str, Any]) -> str:
    """Return how much was shown or how often the protocol ran."""
    return {
        "few-shot": f"samples of each class shown: {document['shots']}; draws: {document['draws']}",
        "zero-shot": "nothing learned from this set",
    }.get(document["protocol"], f"passes: {document['seeds']}")


def gains(document: dict[str, Any]) -> list[tuple[str, float, float, dict[str, float]]]:
    """Return database, UF1 without and UF1 with the samples shown, and the gain over the draws.

    Empty where that was not measured.
    """
    if "gain" not in document:
        return []
    before = parts(document["zero_shot_on_the_same_queries"])
    by_part = {"all": document["gain"]["full"], **document["gain"]["by_database"]}
    pairs = zip(parts(document), before, strict=True)
    return [(name, first["uf1"], part["uf1"], by_part[name]) for (name, part), (_, first) in pairs]


def confusion_rows(part: dict[str, Any], classes: list[str]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Return for each true class the share and the count of each predicted class."""
    counts = np.array(part["confusion"])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1e-9)
    rows = zip(classes, shares.tolist(), counts.tolist(), strict=True)
    return [(name, list(zip(share, count, strict=True))) for name, share, count in rows]


def reliability(measured: dict[str, Any]) -> Markup:
    """Return the reliability diagram as SVG."""
    bins = [each for each in measured["bins"] if each["samples"] >= MIN_IN_BIN]
    columns = (np.array([each[column] for each in bins]) for column in ("confidence", "accuracy", "share"))
    return Markup(reliability_svg(*columns))


def scatter(embedding: np.ndarray, task: Task) -> Scatter:
    """Return the embeddings' first two principal components.

    They are shaded by a linear SVM (MERAU, figure 6).
    """
    flat = PCA(2).fit_transform(embedding - embedding.mean(0))
    flat /= np.maximum(np.abs(flat).max(0), 1e-9)
    svm = LinearSVC(random_state=0, max_iter=5000).fit(flat, task.label)
    span, middle = SIDE / 2 - 10, SIDE / 2
    points = [
        (int(label), middle + x * span, middle - y * span) for (x, y), label in zip(flat, task.label, strict=True)
    ]
    return Scatter(points, regions(svm, middle / span), svm.score(flat, task.label))


def regions(svm: LinearSVC, edge: float) -> list[Region]:
    """Return the square from -`edge` to `edge` in runs of one class.

    The class is what `svm` predicts there.
    """
    cell = SIDE / CELLS
    at = (np.arange(CELLS) + 0.5) / CELLS * 2 * edge - edge
    x, y = np.meshgrid(at, -at)
    labels = svm.predict(np.column_stack([x.ravel(), y.ravel()])).reshape(CELLS, CELLS)
    found = []
    for row, classes in enumerate(labels):
        starts = np.flatnonzero(np.diff(classes, prepend=-1))
        for start, end in zip(starts, [*starts[1:], CELLS], strict=True):
            found.append(Region(int(classes[start]), start * cell, row * cell, (end - start) * cell))
    return found
