"""One run as one HTML file that needs nothing else: scores, confusions, reliability, and where the samples lie."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.svm import LinearSVC

from calib.probability import diagram
from trainers.evaluate.problem import Problem
from trainers.evaluate.run import Run

SIDE = 300  # of a figure


def page(run: Run) -> str:
    """The report of `run`."""
    document = run.document
    sections = [
        heading(document),
        table_of_scores(document),
        *([comparison(document)] if "zero_shot_on_the_same_queries" in document else []),
        "<h2>What is taken for what</h2><p>Rows are the truth, columns the answers, as shares of the row; counts below,"
        " the mean over the trials.</p><div class=row>",
        *(confusion(name, part, run.problem.classes) for name, part in parts(document)),
        "</div><h2>Probabilities and samples</h2><div class=row>",
        reliability(document["reliability"]),
        scatter(run.answers.embedding, run.problem),
        "</div>",
        *([action_units(document["au_auc"])] if "au_auc" in document else []),
        domains(document["domains"]) if document.get("domains") else "",
        samples(document),
    ]
    return html(f"{document['model']}, {document['protocol']}", "\n".join(sections))


def html(title: str, body: str) -> str:
    css = (files("trainers.evaluate") / "report.css").read_text(encoding="utf-8")
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
        "over subjects (bootstrap); ± is the standard deviation over passes or draws.</p><div class=scroll><table>"
        f"<tr><th>database<th>samples<th>subjects<th>UF1<th>UAR<th>ACC{head}{rows}</table></div>"
    )


def measured(part: dict[str, Any], score: str) -> str:
    low, high = part[f"{score}_interval"]
    spread = f" ± {part[f'{score}_sd']:.3f}" if part[f"{score}_sd"] else ""
    return f"{part[score]:.3f}{spread} <small>[{low:.3f}, {high:.3f}]</small>"


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
    columns = ("confidence", "accuracy", "share")
    drawn = diagram(*(np.array([each[column] for each in measured["bins"]]) for column in columns))
    return (
        f"<figure><h3>Reliability: ECE {measured['ece']:.3f}</h3>{drawn}"
        "<figcaption>Line: accuracy; bars: share of the answers.</figcaption></figure>"
    )


def scatter(embedding: np.ndarray, problem: Problem) -> str:
    """The bundle's embeddings on their first two principal components, with the line of a linear SVM for two classes;
    the text says how many samples it tells apart there (MERAU, figure 6)."""
    flat = PCA(2).fit_transform(embedding - embedding.mean(0))
    flat /= np.maximum(np.abs(flat).max(0), 1e-9)
    svm = LinearSVC(random_state=0, max_iter=5000).fit(flat, problem.label)
    span, middle = SIDE / 2 - 10, SIDE / 2
    dots = "".join(
        f"<circle class=c{label} cx={middle + x * span:.1f} cy={middle - y * span:.1f} r=2.6 fill-opacity=.7 />"
        for (x, y), label in zip(flat, problem.label, strict=True)
    )
    lines = "".join(
        edge(w, b, middle, span) for w, b in zip(svm.coef_, svm.intercept_, strict=True) if len(svm.classes_) == 2
    )
    key = "".join(
        f"<span><svg width=10 height=10><circle class=c{i} cx=5 cy=5 r=4 /></svg> {escape(name)}</span>"
        for i, name in enumerate(problem.classes)
    )
    right = svm.score(flat, problem.label)
    return (
        f"<figure><h3>Embeddings, PCA + linear SVM: {100 * right:.0f} % apart</h3>"
        f"<svg width={SIDE} height={SIDE}>{dots}{lines}</svg><div class=key>{key}</div></figure>"
    )


def edge(weight: np.ndarray, bias: float, middle: float, span: float) -> str:
    """The line weight x + bias = 0 across the square from -1 to 1."""
    along = np.array([-weight[1], weight[0]]) / max(float(np.linalg.norm(weight)), 1e-9)
    foot = -bias * weight / max(float(weight @ weight), 1e-9)
    (x0, y0), (x1, y1) = foot - 2 * along, foot + 2 * along
    return (
        f"<line class=edge x1={middle + x0 * span:.1f} y1={middle - y0 * span:.1f} "
        f"x2={middle + x1 * span:.1f} y2={middle - y1 * span:.1f} />"
    )


def action_units(scores: dict[str, float]) -> str:
    head = "".join(f"<th>{'AU ' * name.isdigit()}{escape(name)}" for name in scores)
    row = "".join(f"<td>{value:.2f}" for value in scores.values())
    return (
        "<h2>Action Units</h2><p>AUC against the codes of the set, for those at least five samples have.</p>"
        f"<div class=scroll><table><tr>{head}<tr>{row}</table></div>"
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
