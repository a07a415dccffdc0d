"""`merau summary`: how often, how long and how strongly the faces of a study showed what."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from merau.engine.errors import UserError
from merau.stream.commands import options
from merau.stream.formatting import pluralize

if TYPE_CHECKING:
    import pandas

    from merau.stream.study.comparison import Comparison
    from merau.stream.study.table import Study


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    purpose = "sum up stored events in one table: counts, rates and durations by face, participant and condition"
    parser = options.add_command(commands, "summary", purpose, run)
    parser.add_argument("store", metavar="STORE", type=Path, help="SQLite file with the events, or its folder")
    options.add_participant_options(parser)
    parser.add_argument(
        "--by",
        nargs="+",
        metavar="COLUMN",
        help="what makes a group: recording, face, participant, or conditions; conditions are compared "
        "(default: participant and all conditions)",
    )
    parser.add_argument(
        "--run", metavar="RUN", help="run to sum up (default: the one with most recordings)", dest="of_run"
    )
    parser.add_argument("--corrected", action="store_true", help="count events as coders corrected them")
    parser.add_argument(
        "--coder", metavar="NAME", help="with --corrected: only the corrections of this coder (default: the newest)"
    )
    parser.add_argument("--excel", action="store_true", help=options.EXCEL)
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder for the tables (default: summary beside the store)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace tables even if they were changed since")


def run(arguments: argparse.Namespace) -> int:
    """Write the tables and the report, and print the rates of the groups."""
    from merau.stream.csv_style import CsvStyle, excel_style
    from merau.stream.study.files import table_contents, write_files
    from merau.stream.study.report import render_study
    from merau.stream.study.table import FACE_COLUMNS, measure, read_study, widen

    store = arguments.store / "merau.db" if arguments.store.is_dir() else arguments.store
    study = read_study(
        store,
        options.assignment(arguments),
        run=arguments.of_run,
        corrected=arguments.corrected or arguments.coder is not None,
        coder=arguments.coder,
    )
    by = _groups(arguments.by, study)
    groups = measure(study, by)
    faces = [*FACE_COLUMNS, *study.assigned]
    measures = measure(study, faces)
    comparisons = _compare(study, by)
    tables = {
        "summary": measures,
        "faces": widen(measures, faces),
        "groups": groups,
        "comparison": _tests(comparisons),
        "events": study.events,
    }
    contents = table_contents(tables, excel_style() if arguments.excel else CsvStyle())
    contents["html"] = render_study(study, groups, by, comparisons).encode()
    folder = arguments.out or store.parent / "summary"
    written, notes = write_files(folder, "summary", contents, overwrite=arguments.overwrite)
    for note in (*study.notes, *notes):
        print(f"Note: {note}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(_document(study, groups, tables["comparison"], written)))
    else:
        _print(study, groups, by, written)
    return 0


def _groups(given: list[str] | None, study: "Study") -> list[str]:
    """Return the columns that make a group."""
    from merau.stream.study.table import FACE_COLUMNS

    choices = [*FACE_COLUMNS, *study.assigned]
    unknown = next((name for name in given or () if name not in choices), None)
    if unknown:
        raise UserError("There is no column '{name}': choose {choices}.", name=unknown, choices=", ".join(choices))
    return list(given or study.assigned or ["recording"])


def _compare(study: "Study", by: list[str]) -> "list[Comparison]":
    from merau.stream.study.comparison import compare

    found = (compare(study, name) for name in by if name in study.assigned[1:])
    return [comparison for comparison in found if comparison]


def _tests(comparisons: "list[Comparison]") -> "pandas.DataFrame":
    import pandas

    tables = [comparison.tests for comparison in comparisons]
    return pandas.concat(tables) if tables else pandas.DataFrame(columns=["condition", "measure", "name", "p"])


def _document(
    study: "Study", groups: "pandas.DataFrame", tests: "pandas.DataFrame", written: list[Path]
) -> dict[str, object]:
    def rows(table: "pandas.DataFrame") -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(table.to_json(orient="records"))
        return found

    return {
        "run": study.run,
        "notes": [str(note) for note in study.notes],
        "faces": rows(study.faces),
        "groups": rows(groups),
        "comparison": rows(tests),
        "written": [str(path) for path in written],
    }


def _print(study: "Study", groups: "pandas.DataFrame", by: list[str], written: list[Path]) -> None:
    """Print count and rate of the expressions of each group."""
    from merau.engine.text import plain
    from merau.stream.summary import EXPRESSIONS

    recordings = pluralize(study.faces["session"].nunique(), "recording")
    minutes = study.faces["analysed_s"].sum() / 60
    print(f"{recordings}, {pluralize(len(study.events), 'event')}, {minutes:.1f} minutes of faces analysed.")
    kinds = groups[(groups["measure"] == "kind") & groups["name"].isin(EXPRESSIONS)]
    shown = kinds[[*by, "analysed_min", "name", "count", "rate_per_min"]]
    print("\n".join(plain(line) for line in shown.to_string(index=False).splitlines()))
    print(plain(f"Tables: {written[0].parent}; report: {written[-1]}"))
