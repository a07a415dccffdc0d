"""All models by all protocols and tasks on one flow set, in one table."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from html import escape
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Any

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.trainers.data.flow_set import FlowSet
from merau.trainers.evaluate.models import BASELINES, NETWORKS
from merau.trainers.evaluate.predict import Predictions, predict
from merau.trainers.evaluate.report import ZERO_WEIGHT, html
from merau.trainers.evaluate.run import MODELS, SLOW, RunSettings, run_on
from merau.trainers.evaluate.task import make_task

PROTOCOLS = ("zero-shot", "few-shot", "lodo", "loso")
TITLES = {
    "merau": "MERAU, taught head x prior",
    "merau-linear": "MERAU, linear head alone",
    "merau-cd": "MERAU (CD), cosine head alone",
    "merau-tuned": "MERAU, fine-tuned at table 2's rates",
    "merau-cd-tuned": "MERAU (CD), fine-tuned",
    "protonet": "ProtoNet on MERAU's embedding",
    "logistic": "logistic regression on raw flow",
    "lbp-top": "LBP-TOP + SVM",
    "liu": "Liu's recognizer",
    "vgg": "VGG on the apex frame",
    "capsule": "CapsuleNet on the apex frame",
}


@dataclass(frozen=True)
class Cell:
    """One run and its place in the table, row `title` and `column`; `folder` is that of the recognizer's bundle."""

    title: str
    column: str
    settings: RunSettings
    folder: Path
    recognizer: Recognizer

    @property
    def key(self) -> dict[str, Any]:
        """What the run's document says of what was run, the set aside."""
        free = self.settings.model in (*BASELINES, *NETWORKS)
        return {**asdict(self.settings), "bundle_sha256": None if free else self.recognizer.bundle.sha256}


def cells(
    recognizers: Sequence[tuple[Path, Recognizer]],
    *,
    models: Sequence[str] = MODELS,
    protocols: Sequence[str] = PROTOCOLS,
    tasks: Sequence[str] = ("cde",),
    **settings: Any,
) -> list[Cell]:
    """Every run, in the order of the table. Models that use a bundle run once for each of `recognizers`.

    `settings` are those of RunSettings. Raises UserError for a name that is not known.
    """
    wanted = []
    for model in models:
        asked_of = recognizers if model.startswith(("merau", "protonet")) else recognizers[:1]
        for (folder, recognizer), protocol, task in product(asked_of, protocols, tasks):
            asked = RunSettings(model=model, protocol=protocol, task=task, **settings)
            title = TITLES[model] + (f" ({folder.name})" if len(asked_of) > 1 else "")
            column = f"{protocol}, {task}" if len(tasks) > 1 else protocol
            wanted.append(Cell(title, column, asked, folder, recognizer))
    return wanted


def compare(wanted: Sequence[Cell], data: FlowSet, *, name: str = "") -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Each cell and its document as soon as it has run, the quick models first; where a model cannot run, one with the
    reason as "skipped".
    """
    posed = cache(lambda task: make_task(data, task))

    @cache
    def answered(recognizer: Recognizer, task: str) -> Predictions:  # the placing of faces takes seconds
        return predict(recognizer, posed(task).data, posed(task).flow)

    for cell in sorted(wanted, key=lambda cell: cell.settings.model in SLOW):
        asked, begun = cell.settings, monotonic()
        try:
            predictions = answered(cell.recognizer, asked.task)
            done = run_on(posed(asked.task), predictions, cell.recognizer, asked, name=name, weights=cell.folder)
            document = {**done.document, "seconds": round(monotonic() - begun, 1)}
        except UserError as error:
            document = {"model": asked.model, "protocol": asked.protocol, "task": asked.task, "skipped": str(error)}
        yield cell, {"title": cell.title, "column": cell.column, **document}


def read(path: Path, digest: str) -> list[dict[str, Any]]:
    """The documents of finished runs on the set of this `digest` that `path` holds; none where there is no file.

    Raises UserError where it holds anything else, which would be lost.
    """
    if not path.exists():
        return []
    try:
        documents = json.loads(path.read_text(encoding="utf-8"))
        if all(document["set_sha256"] == digest for document in documents):
            return [document for document in documents if "skipped" not in document]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no leaderboard of this version: choose another file for --json.") from error
    raise UserError(f"{path} is the leaderboard of another set: choose another file for --json.")


def finished(cell: Cell, documents: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The document among `documents` of this very run, under the cell's names; None where it has not been run."""
    for document in documents:
        if all(document.get(name) == value for name, value in cell.key.items()):
            return {**document, "title": cell.title, "column": cell.column}
    return None


def write(path: Path, documents: Sequence[dict[str, Any]]) -> None:
    """Whole or not at all. Raises UserError where `path` cannot be written."""
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(documents, indent=2) + "\n", encoding="utf-8")
        os.replace(new, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def line(document: dict[str, Any]) -> str:
    """The run in one line."""
    what = f"{document['title']}, {document['column']}"
    if "skipped" in document:
        return f"{what}: not run. {document['skipped']}"
    return f"{what}: UF1 {document['full']['uf1']:.3f}, UAR {document['full']['uar']:.3f} ({document['seconds']:.0f} s)"


def rows(documents: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the table: UF1 / UAR over all databases, then UF1 of each."""
    columns = list(dict.fromkeys(d["column"] for d in documents))
    titles = list(dict.fromkeys(d["title"] for d in documents))
    cells = {(d["title"], d["column"]): cell(d) for d in documents}
    return ["model", *columns], [[title, *(cells[title, column] for column in columns)] for title in titles]


def cell(document: dict[str, Any]) -> str:
    if "skipped" in document:
        return "-"
    full = document["full"]
    spread = f" ± {full['uf1_sd']:.3f}" if full["uf1_sd"] else ""
    parts = [f"{part['uf1']:.2f}" for part in document["by_database"].values() if part["samples"]]
    stamp = " (best epoch)" if "warning" in document else ""
    return f"{full['uf1']:.3f}{spread} / {full['uar']:.3f} [{' '.join(parts)}]{stamp}"


def markdown(documents: Sequence[dict[str, Any]]) -> str:
    head, table = rows(documents)
    lines = [head, ["---"] * len(head), *table]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n" + legend(documents) + "\n"


def page(documents: Sequence[dict[str, Any]]) -> str:
    head, table = rows(documents)
    cells = "".join("<tr>" + "".join(f"<td>{two_lines(c)}" for c in line) for line in table)
    heads = "".join(f"<th>{escape(name)}" for name in head)
    notes = "".join(f"<p>{escape(line)}</p>" for line in legend(documents).splitlines())
    return html("Leaderboard", f"<h1>Leaderboard</h1>{notes}<table><tr>{heads}{cells}</table>")


def two_lines(cell: str) -> str:
    """A cell with what stands in brackets below the rest: the table is half as wide."""
    scores, _, databases = cell.partition(" [")
    return escape(scores) + (f"<br><small>[{escape(databases)}</small>" if databases else "")


def legend(documents: Sequence[dict[str, Any]]) -> str:
    databases = next((list(d["by_database"]) for d in documents if "by_database" in d), [])
    why = dict.fromkeys(f"{d['title']}, {d['column']}: {d['skipped']}" for d in documents if "skipped" in d)
    warned = dict.fromkeys(text for d in documents for text in d.get("warnings", ()))
    searched = dict.fromkeys(d["transductive"] for d in documents if "transductive" in d)
    first = f"UF1 / UAR over all databases; in brackets UF1 of {', '.join(databases)}."
    return "\n".join([first, *warned, *weights(documents), *searched, *why])


def weights(documents: Sequence[dict[str, Any]]) -> list[str]:
    """For each row that multiplies what samples say with what the bundle knows, how much the samples counted."""
    taught = [d for d in documents if "lesson_weight" in d]
    return [
        f"{title}: mean weight of the samples shown "
        + ", ".join(f"{d['lesson_weight']['mean']:.2f} ({d['column']})" for d in taught if d["title"] == title)
        + f"; {ZERO_WEIGHT}."
        for title in dict.fromkeys(d["title"] for d in taught)
    ]
