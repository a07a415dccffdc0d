"""All models by all protocols and tasks on one flow set, in one table."""

from collections.abc import Sequence
from html import escape
from itertools import product
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.recognizer import Recognizer
from trainers.data.flow_set import FlowSet
from trainers.evaluate.report import html
from trainers.evaluate.run import MODELS, RunSettings, run

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


def compare(
    recognizers: Sequence[tuple[Path, Recognizer]],
    data: FlowSet,
    *,
    models: Sequence[str] = MODELS,
    protocols: Sequence[str] = PROTOCOLS,
    tasks: Sequence[str] = ("cde",),
    **settings: Any,
) -> list[dict[str, Any]]:
    """The document of every run; where a model cannot run, one with the reason as "skipped".

    Models that use a bundle run once for each of `recognizers`. `settings` are those of RunSettings.
    """
    done = []
    for model in models:
        asked_of = recognizers if model.startswith(("merau", "protonet")) else recognizers[:1]
        for folder, recognizer in asked_of:
            for protocol, task in product(protocols, tasks):
                column = f"{protocol}, {task}" if len(tasks) > 1 else protocol
                asked = RunSettings(model=model, protocol=protocol, task=task, **settings)
                try:
                    document = run(recognizer, data, asked, weights=folder).document
                except UserError as error:
                    document = {"model": model, "protocol": protocol, "task": task, "skipped": str(error)}
                title = TITLES[model] + (f" ({folder.name})" if len(asked_of) > 1 else "")
                done.append({"title": title, "column": column, **document})
    return done


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
    cells = "".join("<tr>" + "".join(f"<td>{escape(c)}" for c in line) for line in table)
    heads = "".join(f"<th>{escape(name)}" for name in head)
    notes = "".join(f"<p>{escape(line)}</p>" for line in legend(documents).splitlines())
    body = f"<h1>Leaderboard</h1>{notes}<div class=scroll><table><tr>{heads}{cells}</table></div>"
    return html("Leaderboard", body)


def legend(documents: Sequence[dict[str, Any]]) -> str:
    databases = next((list(d["by_database"]) for d in documents if "by_database" in d), [])
    why = dict.fromkeys(f"{d['title']}, {d['column']}: {d['skipped']}" for d in documents if "skipped" in d)
    return "\n".join([f"UF1 / UAR over all databases; in brackets UF1 of {', '.join(databases)}.", *why])
