"""`merau-lab score`: score predictions that were made elsewhere."""

import argparse
import sys
from pathlib import Path
from typing import Any

from merau.trainers.commands.options import add_command


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    parser = add_command(commands, "score", "score predictions that were made elsewhere against the truth", run)
    about = "CSV with dataset, subject, sample, and p_CLASS columns or one column predicted; `predict` writes one"
    parser.add_argument("predictions", type=Path, help=about)
    about = "CSV with dataset, subject, sample, and label or emotion; the index of a flow set is one"
    parser.add_argument("truth", type=Path, help=about)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the scores to OUT instead of printing them")


def run(options: argparse.Namespace) -> None:
    """Write UF1, UAR and accuracy, pooled, by data set and by class."""
    from merau.trainers.commands.output import write_json
    from merau.trainers.evaluate.score import match, scores

    matched = match(options.predictions, options.truth)
    if matched.without:
        print(f"merau-lab: {matched.without} samples have no prediction; they count as wrong.", file=sys.stderr)
    write_json(scores(matched), options.json)
