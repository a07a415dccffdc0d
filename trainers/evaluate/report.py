"""One run as one HTML file that needs nothing else: scores, confusions, reliability, and where the samples lie."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.svm import LinearSVC

from merau.calib.probability import reliability_svg
from merau.trainers.evaluate.run import Run
from merau.trainers.evaluate.task import Task

SIDE = 300  # of a figure
ZERO_WEIGHT = "0 means that they count nothing and the answers are the bundle's own, as in zero-shot; 1 is the most"
CELLS = 100  # a side, of its shading
LEAST_IN_BIN = 5  # answers; the accuracy of fewer is chance


def page(run: Run) -> str:
    """The report of `run`."""
    document = run.document
    sections = [
        heading(document),
        *(f"<p class=warning>{escape(text)}</p>" for text in document.get("warnings", ())),
        *(f"<p>{escape(text)}</p>" for text in remarks(document)),
        table_of_scores(document),
        *([comparison(document)] if "zero_shot_on_the_same_queries" in document else []),
        "<h2>What is taken for what</h2><p>Rows are the truth, columns the answers, as shares of the row; counts below,"
        " the mean over the trials.</p><div class=row>",
        *(confusion(name, part, run.task.classes) for name, part in parts(document)),
        "</div><h2>Probabilities and samples</h2><div class=row>",
        reliability(document["reliability"]),
        scatter(run.predictions.embedding, run.task),
        "</div>",
        *([action_units(document["au_auc"])] if "au_auc" in document else []),
        domains(document["domains"]) if document.get("domains") else "",
        samples(document),
    ]
    return html(f"{document['model']}, {document['protocol']}", "\n".join(sections))


def html(title: str, body: str) -> str:
    css = (files("merau.trainers.evaluate") / "report.css").read_text(encoding="utf-8")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{css}</style><main>{body}</main></html>\n"
    )


def parts(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All samples pooled, then each database that was asked."""
    databases = [(name, part) for name, part in document["by_database"].items() if part["samples"]]
    return [("all", document["full"]), *(databases if len(databases) > 1 else [])]


def heading(document: dict[str, Any]) -> str:
    stamp = f"<p class=warning>{escape(document['warning'])}</p>" if "warning" in document else ""
    how = {
        "few-shot": f"{document['shots']} samples a class shown, {document['draws']} draws",
        "zero-shot": "nothing learned from this set",
    }.get(document["protocol"], f"{document['seeds']} passes")
    bundle = f" Bundle {escape(document['bundle'])}." if document["bundle"] else ""
    return (
        f"{stamp}<h1>{escape(document['model'])}, {escape(document['protocol'])}</h1>"
        f"<p>{escape(document['flows'])}; task {document['task']}: {', '.join(document['classes'])}; {how}.{bundle}</p>"
    )


def remarks(document: dict[str, Any]) -> list[str]:
    """What the scores owe to more than the samples learned from."""
    said = [document["transductive"]] if "transductive" in document else []
    if "lesson_weight" in document:
        weight = document["lesson_weight"]
        said.append(
            f"Mean weight of the samples shown: {weight['mean']:.2f}, and 0 in {weight['lessons_of_weight_0']} of "
            f"{weight['lessons']} lessons; {ZERO_WEIGHT}."
        )
    return said


def table_of_scores(document: dict[str, Any]) -> str:
    names = [name for name in document["classes"] if name in document["full"]["classes"]]
    head = "".join(f"<th>F1 {escape(name)}" for name in names)
    rows = "".join(
        f"<tr><td>{escape(database)}<td>{part['samples']}<td>{part['subjects']}"
        + "".join(f"<td>{measured(part, score)}" for score in ("uf1", "uar", "acc"))
        + "".join(f"<td>{cell(part['classes'].get(name, {}).get('f1'))}" for name in names)
        for database, part in parts(document)
    )
    return (
        "<h2>Scores</h2><p>Answers of all folds pooled, then scored, as MEGC2019 does. In brackets the 95 % interval "
        "over subjects (bootstrap); ± is the standard deviation over passes or draws.</p><table>"
        f"<tr><th>database<th>samples<th>subjects<th>UF1<th>UAR<th>ACC{head}{rows}</table>"
    )


def measured(part: dict[str, Any], score: str) -> str:
    low, high = part[f"{score}_interval"]
    spread = f" ± {part[f'{score}_sd']:.3f}" if part[f"{score}_sd"] else ""
    return f"{part[score]:.3f}{spread}<br><small>[{low:.3f}, {high:.3f}]</small>"


def cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def comparison(document: dict[str, Any]) -> str:
    before = document["zero_shot_on_the_same_queries"]
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{first['uf1']:.3f}<td>{part['uf1']:.3f}<td>{part['uf1'] - first['uf1']:+.3f}"
        for (name, part), (_, first) in zip(parts(document), parts(before), strict=True)
    )
    return (
        "<h2>What the samples shown are worth</h2><p>UF1 on the same queries.</p><table>"
        f"<tr><th>database<th>without<th>with<th>gain{rows}</table>"
    )


def confusion(name: str, part: dict[str, Any], classes: Sequence[str]) -> str:
    counts = np.array(part["confusion"])
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1e-9)
    head = "".join(f"<th>{escape(c)}" for c in classes)
    rows = "".join(
        f"<tr><th>{escape(c)}"
        + "".join(f"<td style='--share:{s:.2f}'>{s:.2f}<br><small>{n:g}</small>" for s, n in zip(*pair, strict=True))
        for c, *pair in zip(classes, share, counts, strict=True)
    )
    return f"<div><h3>{escape(name)}</h3><table class=confusion><tr><th>{head}{rows}</table></div>"


def reliability(measured: dict[str, Any]) -> str:
    bins = [each for each in measured["bins"] if each["samples"] >= LEAST_IN_BIN]
    drawn = reliability_svg(
        *(np.array([each[column] for each in bins]) for column in ("confidence", "accuracy", "share"))
    )
    return (
        f"<figure><h3>Reliability: ECE {measured['ece']:.3f}</h3>{drawn}"
        "<figcaption>Line: accuracy; bars: share of the answers. Tenths of confidence with fewer than "
        f"{LEAST_IN_BIN} answers are left out.</figcaption></figure>"
    )


def scatter(embedding: np.ndarray, task: Task) -> str:
    """The bundle's embeddings on their first two principal components, and where a linear SVM tells which class there
    (MERAU, figure 6).
    """
    flat = PCA(2).fit_transform(embedding - embedding.mean(0))
    flat /= np.maximum(np.abs(flat).max(0), 1e-9)
    svm = LinearSVC(random_state=0, max_iter=5000).fit(flat, task.label)
    span, middle = SIDE / 2 - 10, SIDE / 2
    dots = "".join(
        f"<circle class=c{label} cx={middle + x * span:.1f} cy={middle - y * span:.1f} r=2.6 fill-opacity=.7 />"
        for (x, y), label in zip(flat, task.label, strict=True)
    )
    key = "".join(
        f"<span><svg width=10 height=10><circle class=c{i} cx=5 cy=5 r=4 /></svg> {escape(name)}</span>"
        for i, name in enumerate(task.classes)
    )
    shaded, right = regions(svm, middle / span), svm.score(flat, task.label)
    return (
        f"<figure><h3>Where the samples lie</h3><svg width={SIDE} height={SIDE}>{shaded}{dots}</svg>"
        f"<div class=key>{key}</div><figcaption>Two principal components of the bundle's embeddings. Shaded: what a "
        "linear SVM says there that was fit to these very samples. "
        f"It is right of {100 * right:.0f} % of them: a picture, no score.</figcaption></figure>"
    )


def regions(svm: LinearSVC, edge: float) -> str:
    """The square from -`edge` to `edge` shaded by the class that `svm` says: row by row, runs of one class."""
    cell = SIDE / CELLS
    at = (np.arange(CELLS) + 0.5) / CELLS * 2 * edge - edge
    x, y = np.meshgrid(at, -at)
    said = svm.predict(np.column_stack([x.ravel(), y.ravel()])).reshape(CELLS, CELLS)
    drawn = []
    for row, classes in enumerate(said):
        starts = np.flatnonzero(np.diff(classes, prepend=-1))
        for start, end in zip(starts, [*starts[1:], CELLS], strict=True):
            drawn.append(
                f"<rect class=c{classes[start]} x={start * cell:g} y={row * cell:g} width={(end - start) * cell:g} "
                f"height={cell:g} />"
            )
    return f"<g class=regions>{''.join(drawn)}</g>"


def action_units(scores: dict[str, float]) -> str:
    head = "".join(f"<th>{'AU ' * name.isdigit()}{escape(name)}" for name in scores)
    row = "".join(f"<td>{value:.2f}" for value in scores.values())
    return (
        "<h2>Action Units</h2><p>AUC against the codes of the set, for those at least five samples have.</p>"
        f"<table><tr>{head}<tr>{row}</table>"
    )


def domains(measured: Sequence[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(d['one'])} and {escape(d['other'])}<td>{d['mmd2']:.4f}<td>{d['p']:.3f}" for d in measured
    )
    return (
        "<h2>How far the databases lie apart</h2><p>Squared maximum mean discrepancy of the embeddings (MERAU, eq. 15) "
        "with its permutation p-value: small p, different domains.</p>"
        f"<table><tr><th>databases<th>MMD²<th>p{rows}</table>"
    )


def samples(document: dict[str, Any]) -> str:
    head = "".join(f"<th>{escape(name)}" for name in document["classes"])
    rows = "".join(
        f"<tr><td>{escape(database)}" + "".join(f"<td>{n}" for n in counts.values())
        for database, counts in document["samples"].items()
    )
    left_out = document["left_out"]["no_class_of_the_task"]
    return (
        f"<h2>Samples</h2><p>{left_out} more show no class of the task and were left out.</p>"
        f"<table><tr><th>database{head}{rows}</table>"
    )
