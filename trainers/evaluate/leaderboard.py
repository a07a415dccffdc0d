"""The leaderboard: all models by all protocols and tasks on one set."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from merau.engine.errors import UserError
from merau.engine.html import render
from merau.engine.recognizer import Recognizer
from merau.trainers.data.flow_set import FlowSet
from merau.trainers.evaluate.models import BASELINES, NETWORKS, ON_REQUEST
from merau.trainers.evaluate.predict import Predictions, predict
from merau.trainers.evaluate.run import (
    MODELS,
    SHOWN,
    SLOW,
    SYNTHETIC,
    ZERO_SHOT,
    RunSettings,
    run_on,
    uses_a_bundle,
)
from merau.trainers.evaluate.task import make_task

PROTOCOLS = ("zero-shot", "few-shot", "lodo", "loso")
USUAL = tuple(model for model in MODELS if model not in ON_REQUEST)
TITLES = {
    "merau": "MERAU, few-shot head x prior",
    "merau-linear": "MERAU, linear head alone",
    "merau-cd": "MERAU (CD), cosine head alone",
    "merau-tuned": "MERAU, fine-tuned at table 2's rates",
    "merau-cd-tuned": "MERAU (CD), fine-tuned",
    "protonet": "ProtoNet on MERAU's embedding",
    "logistic": "logistic regression on raw flow",
    "hoof": "HOOF + SVM",
    "fhofo": "FHOFO + SVM",
    "bi-woof": "Bi-WOOF + SVM",
    "mdmo": "MDMO + SVM",
    "strain": "optical strain + SVM",
    "lbp-top": "LBP-TOP + SVM",
    "lbp-sip": "LBP-SIP + SVM",
    "hog-top": "HOG-TOP + SVM",
    "higo-top": "HIGO-TOP + SVM",
    "dynamic-image": "dynamic image + SVM",
    "off-apexnet": "OFF-ApexNet",
    "ststnet": "STSTNet",
    "dual-inception": "Dual-Inception",
    "rcn": "RCN",
    "au-graph": "graph of Action Units",
    "liu": "Liu's recognizer",
    "vgg": "VGG on the apex frame",
    "capsule": "CapsuleNet on the apex frame",
    "apex-resnet": "ResNet10 on the apex frame",
    "cnn3d": "3-D CNN on the frames",
    "attribute": "attribute embedding + contrast",
    "attribute-without-text": "attribute: no text",
    "attribute-without-contrast": "attribute: no contrast",
    "attribute-frames": "attribute: frames alone",
    "attribute-flow": "attribute: flow alone",
    "attribute-published": "attribute: published size",
    "lightmannet": "LightmanNet",
    "lightmannet-without-auxiliary": "LightmanNet: no auxiliary branch",
    "lightmannet-without-bi-level": "LightmanNet: no bi-level optimization",
    "lightmannet-published": "LightmanNet: published steps and rates",
    "maml": "MAML",
    "anil": "ANIL",
    "reptile": "Reptile",
    "clip-protonet": "ProtoNet on clips",
    "relationnet": "RelationNet",
    "matchingnet": "MatchingNet",
    "ma2mi": "MA2MI",
    "ma2mi-without-pretraining": "MA2MI: no pre-training",
    "ma2mi-without-position": "MA2MI: no position encoder",
    "ma2mi-published": "MA2MI: published size",
}
# UF1 / UAR that papers print for leave-one-subject-out on MEGC2019's composite database, many with the best epoch on
# the test subject: full; SMIC, CASME II, SAMM (See et al. 2019; each paper).
PUBLISHED = {
    "lbp-top": ".588 / .579 [.20 .70 .40]",
    "bi-woof": ".630 / .623 [.57 .78 .52]",
    "capsule": ".652 / .651 [.58 .71 .62]",
    "off-apexnet": ".720 / .710 [.68 .88 .54]",
    "ststnet": ".735 / .761 [.68 .84 .66]",
    "liu": ".789 / .782 [.75 .83 .78]",
}
CHART = (860, 420)  # width and height of the chart
PUBLISHED_COLUMN = "paper, loso on CDE"


@dataclass(frozen=True)
class Cell:
    """One run and its place in the table, row `title` and `column`.

    `folder` is that of the recognizer's bundle.
    """

    title: str
    column: str
    settings: RunSettings
    folder: Path
    recognizer: Recognizer

    @property
    def key(self) -> dict[str, Any]:
        """What identifies this run among those on one set, as in its document."""
        used = self.recognizer.bundle.sha256 if uses_a_bundle(self.settings.model) else None
        return {**asdict(self.settings), "macro": list(self.settings.macro), "bundle_sha256": used}


@dataclass(frozen=True)
class ChartPoint:
    """A run in the chart: where it lies, what it says, and its model."""

    x: float
    y: float
    text: str
    title: str


@dataclass(frozen=True)
class CellText:
    """A cell as text.

    Below the scores over all databases are those of each database.
    """

    scores: str
    databases: str = ""

    def __str__(self) -> str:
        return f"{self.scores} {self.databases}" if self.databases else self.scores


def cells(
    recognizers: Sequence[tuple[Path, Recognizer]],
    *,
    models: Sequence[str] = USUAL,
    protocols: Sequence[str] = PROTOCOLS,
    tasks: Sequence[str] = ("cde",),
    **settings: Any,
) -> list[Cell]:
    """Return every run, in the order of the table.

    Zero-shot trains baselines and networks on synthetic samples, as MERAU is.

    Args:
        recognizers: Bundle folders with their recognizers; models that use a bundle run once for each.
        models: Names of models.
        protocols: Names of protocols.
        tasks: Names of tasks.
        **settings: Other fields of RunSettings.

    Raises:
        UserError: A name is unknown.
    """
    wanted = []
    for model in models:
        used = recognizers if model.startswith(("merau", "protonet")) else recognizers[:1]
        for (folder, recognizer), protocol, task in product(used, protocols, tasks):
            is_drawn_for = protocol == ZERO_SHOT and task == "cde" and model in (*BASELINES, *NETWORKS)
            train = SYNTHETIC if is_drawn_for else SHOWN
            run_settings = RunSettings(model=model, protocol=protocol, task=task, train=train, **settings)
            title = TITLES.get(model, model) + (f" ({folder.name})" if len(used) > 1 else "")
            column = f"{protocol}, {task}" if len(tasks) > 1 else protocol
            wanted.append(Cell(title, column, run_settings, folder, recognizer))
    return wanted


def compare(wanted: Sequence[Cell], data: FlowSet, *, name: str = "") -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Run each cell, the quick models first.

    It is yielded with its document as soon as it has run.

    Where a model cannot run, the document holds the reason as "skipped".
    """
    task_of = cache(lambda task: make_task(data, task))

    @cache
    def predictions_of(recognizer: Recognizer, task: str) -> Predictions:
        return predict(recognizer, task_of(task).data, task_of(task).flow)

    for cell in sorted(wanted, key=lambda cell: cell.settings.model in SLOW):
        settings, begun = cell.settings, monotonic()
        try:
            predictions = predictions_of(cell.recognizer, settings.task)
            task = task_of(settings.task)
            done = run_on(task, predictions, cell.recognizer, settings, name=name, weights=cell.folder)
            document = {**done.document, "seconds": round(monotonic() - begun, 1)}
        except UserError as error:
            document = {
                "model": settings.model,
                "protocol": settings.protocol,
                "task": settings.task,
                "skipped": str(error),
            }
        yield cell, {"title": cell.title, "column": cell.column, **document}


def read(path: Path, digest: str) -> list[dict[str, Any]]:
    """Return the documents in `path` of finished runs on the set with this `digest`.

    None without a file.

    Raises:
        UserError: `path` holds anything else, which would be lost.
    """
    if not path.exists():
        return []
    try:
        documents = json.loads(path.read_text(encoding="utf-8"))
        if all(document["set_sha256"] == digest for document in documents):
            return [document for document in documents if "skipped" not in document]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a leaderboard of this version: choose another file for --json.") from error
    raise UserError(f"{path} is the leaderboard of another set: choose another file for --json.")


def finished(cell: Cell, documents: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the document of this very run, with the cell's names.

    None where it has not run.
    """
    for document in documents:
        if all(document.get(name) == value for name, value in cell.key.items()):
            return {**document, "title": cell.title, "column": cell.column}
    return None


def write(path: Path, documents: Sequence[dict[str, Any]]) -> None:
    """Write `documents` atomically. Raises UserError where `path` cannot be written."""
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(documents, indent=2) + "\n", encoding="utf-8")
        os.replace(new, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def line(document: dict[str, Any]) -> str:
    """Return the run in one line."""
    run = f"{document['title']}, {document['column']}"
    if "skipped" in document:
        return f"{run}: not run. {document['skipped']}"
    full = document["full"]
    return f"{run}: UF1 {full['uf1']:.3f}, UAR {full['uar']:.3f} ({document['seconds']:.0f} s)"


def table(documents: Sequence[dict[str, Any]]) -> tuple[list[str], list[tuple[str, list[CellText]]]]:
    """Return the header, and title and cells of each row, with what its paper prints in the last one."""
    columns = list(dict.fromkeys(d["column"] for d in documents))
    titles = list(dict.fromkeys(d["title"] for d in documents))
    texts = {(d["title"], d["column"]): cell_text(d) for d in documents}
    printed = {d["title"]: PUBLISHED.get(d.get("model", ""), "") for d in documents}
    costs = {title: cost_text([d for d in documents if d["title"] == title]) for title in titles}
    rows = [
        (title, [*(texts[title, column] for column in columns), CellText(costs[title]), CellText(printed[title])])
        for title in titles
    ]
    return ["model", *columns, "cost", PUBLISHED_COLUMN], rows


def cost_text(documents: Sequence[dict[str, Any]]) -> str:
    """Return what a row's model costs: parameters and milliseconds where they are known, minutes of all its runs."""
    known = next((d for d in documents if "parameters" in d), None)
    size = f"{known['parameters']:,} parameters, {known['milliseconds']:.1f} ms, " if known else ""
    seconds = sum(d.get("seconds", 0) for d in documents)
    return f"{size}{seconds / 60:.1f} min" if seconds else ""


def chart(documents: Sequence[dict[str, Any]]) -> list[ChartPoint]:
    """Return the points of the chart: UF1 against the logarithm of each run's time."""
    shown = [d for d in documents if "full" in d and d.get("seconds")]
    if not shown:
        return []
    low, high = (np.log10(f(d["seconds"] for d in shown)) for f in (min, max))
    return [
        ChartPoint(
            CHART[0] * (0.04 + 0.68 * (np.log10(d["seconds"]) - low) / max(high - low, 1e-9)),
            CHART[1] * (0.95 - 0.9 * d["full"]["uf1"]),
            f"{d['title']}, {d['column']}: {d['full']['uf1']:.3f}, {d['seconds']:.0f} s",
            d["title"],
        )
        for d in shown
    ]


def cell_text(document: dict[str, Any]) -> CellText:
    """Return UF1 / UAR over all databases, and UF1 of each.

    "-" where the run was skipped.
    """
    if "skipped" in document:
        return CellText("-")
    full = document["full"]
    spread = f" ± {full['uf1_sd']:.3f}" if full["uf1_sd"] else ""
    parts = [f"{part['uf1']:.2f}" for part in document["by_database"].values() if part["samples"]]
    stamp = " (best epoch)" if "warning" in document else ""
    return CellText(f"{full['uf1']:.3f}{spread} / {full['uar']:.3f}", f"[{' '.join(parts)}]{stamp}")


def markdown(documents: Sequence[dict[str, Any]]) -> str:
    """Return the table and its notes as Markdown."""
    header, rows = table(documents)
    lines = [header, ["---"] * len(header), *([title, *map(str, texts)] for title, texts in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n" + "\n".join(notes(documents)) + "\n"


def page(documents: Sequence[dict[str, Any]]) -> str:
    """Return the table and its notes as HTML."""
    header, rows = table(documents)
    return render(
        "merau.trainers.evaluate",
        "leaderboard.html.j2",
        header=header,
        rows=rows,
        notes=notes(documents),
        points=chart(documents),
        width=CHART[0],
        height=CHART[1],
    )


def notes(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Return what the cells mean, warnings, and why runs were skipped."""
    databases = next((list(d["by_database"]) for d in documents if "by_database" in d), [])
    skipped = dict.fromkeys(f"{d['title']}, {d['column']}: {d['skipped']}" for d in documents if "skipped" in d)
    warnings = dict.fromkeys(text for d in documents for text in d.get("warnings", ()))
    first = f"UF1 / UAR over all databases; in brackets UF1 of {', '.join(databases)}."
    if skipped:
        first += ' A "-" was not run, for the reason below.'
    printed = (
        "The last column is what papers print for leave-one-subject-out on MEGC2019's composite database; it compares "
        "only with a column loso, cde on that database."
    )
    return [first, printed, *warnings, *gain_notes(documents), *skipped]


def gain_notes(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Return for each row what the few-shot samples add to the bundle alone, and how often they cost."""
    measured = [d for d in documents if "gain" in d]
    return [
        f"{title}: gain in UF1 over no samples "
        + ", ".join(describe_gain(d["gain"]["full"], d["column"]) for d in measured if d["title"] == title)
        + "."
        for title in dict.fromkeys(d["title"] for d in measured)
    ]


def describe_gain(gain: dict[str, float], column: str) -> str:
    """Return the gain of one cell as text."""
    return f"{gain['uf1']:+.3f} ± {gain['uf1_sd']:.3f}, {gain['lost']:.0%} of the draws lose ({column})"
