"""`merau agree`: how well the machine and coders agree."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from merau.engine.text import plain_lines
from merau.stream.commands import options
from merau.stream.events import KINDS

if TYPE_CHECKING:
    from merau.stream.study.agreement import Agreement


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    purpose = "measure how well the machine and coders agree: F1, kappa, alpha, differences of times"
    parser = options.add_command(commands, "agree", purpose, run)
    about = "store, ELAN file, CSV, or folder of these; STORE#NAME takes what coder NAME coded in the store"
    parser.add_argument("a", metavar="A", help=about)
    parser.add_argument("b", metavar="B", nargs="+", help="the same; precision and recall of A count B as the truth")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="kinds to compare (default: those that all use)")
    parser.add_argument(
        "--tier",
        action="append",
        default=[],
        type=options.tier_kind,
        metavar="NAME[=KIND]",
        help="ELAN tier to read, and the kind of its annotations (default: the tiers that name a kind; micro or macro "
        "by duration); may be repeated",
    )
    parser.add_argument(
        "--run", metavar="RUN", dest="of_run", help="run of the stores (default: that of most recordings)"
    )
    parser.add_argument(
        "--bin", type=float, default=0.1, metavar="S", help="width of the time bins in s (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("agreement"),
        metavar="FOLDER",
        help="folder for the results (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results even if they were changed since")


def run(arguments: argparse.Namespace) -> int:
    """Write the tables and the page, and print the main figures."""
    from merau.stream.csv_style import CsvStyle
    from merau.stream.study.agreement import AgreementSettings, agree
    from merau.stream.study.agreement_report import (
        agreement_text,
        difference_rows,
        disagreement_rows,
        render_agreement,
        score_rows,
    )
    from merau.stream.study.coded import join, read_coded
    from merau.stream.study.files import table_contents, write_files

    settings = AgreementSettings(bin_s=arguments.bin)
    coders = [read_coded(source, dict(arguments.tier), arguments.of_run) for source in (arguments.a, *arguments.b)]
    recordings, notes = join(coders)
    names = _different([coder.name for coder in coders])
    agreement = agree(names, recordings, arguments.kinds, settings)
    tables = {
        "agreement": score_rows(agreement),
        "differences": difference_rows(agreement),
        "disagreements": disagreement_rows(agreement, recordings),
    }
    contents = table_contents(tables, CsvStyle())
    contents["html"] = render_agreement(agreement, recordings, notes, settings, arguments.out).encode()
    written, stay = write_files(arguments.out, "agreement", contents, overwrite=arguments.overwrite)
    for note in (*notes, *stay):
        print(f"Note: {note}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(_document(agreement, len(recordings), written)))
    else:
        print(plain_lines(f"{agreement_text(agreement)}\nTables: {arguments.out}; page: {written[-1]}"))
    return 0


def _different(names: list[str]) -> list[str]:
    """Return names that differ: "talk" and "talk 2"."""
    return [f"{name} {names[: i + 1].count(name)}" if name in names[:i] else name for i, name in enumerate(names)]


def _document(agreement: "Agreement", recordings: int, written: list[Path]) -> dict[str, object]:
    from merau.stream.study.agreement import difference_figures

    pairs = [
        asdict(pair) | {"differences": [difference_figures(difference) for difference in pair.differences]}
        for pair in agreement.pairs
    ]
    alpha = {kind: asdict(score) for kind, score in agreement.alpha.items()}
    fields = {"recordings": recordings, "kinds": agreement.kinds, "pairs": pairs, "alpha": alpha}
    return fields | {"written": [str(path) for path in written]}
