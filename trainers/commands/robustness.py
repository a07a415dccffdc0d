"""`merau-lab robustness`: how much accuracy models keep when samples are masked, noisy or grey."""

import argparse
import sys
from pathlib import Path
from typing import Any

from merau.trainers.commands.options import add_bundle, add_command, add_flows, add_macro, add_sampling, add_seed
from merau.trainers.commands.output import print_warnings, write_json


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    purpose = "measure how much accuracy models keep when some of the samples are corrupted"
    parser = add_command(commands, "robustness", purpose, run)
    add_flows(parser, required=True, note="; with frames")
    about = "models to compare, by the names that evaluate takes"
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL", help=about)
    parser.add_argument("--protocol", default="few-shot", help="protocol to run (default: %(default)s)")
    about = "classes: cde, 4-way, easy, hard, 5-class, or a YAML file (default: %(default)s)"
    parser.add_argument("--task", default="cde", help=about)
    add_sampling(parser)
    add_macro(parser)
    add_bundle(parser)
    add_seed(parser)
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for all accuracies (default: none)")


def run(options: argparse.Namespace) -> None:
    """Print a row for each model as soon as it is known, then the table."""
    from merau.engine.recognizer import Recognizer
    from merau.trainers.data import flow_set
    from merau.trainers.evaluate.robustness import compare, markdown
    from merau.trainers.evaluate.run import RunSettings

    names = ("protocol", "task", "shots", "draws", "seeds")
    macro = tuple(map(str, options.macro))
    settings = [
        RunSettings(model=model, macro=macro, **{name: getattr(options, name) for name in names})
        for model in options.models
    ]
    recognizer = Recognizer.load(options.bundle, device="cpu", precision=options.precision)
    data = flow_set.read(*options.flows)
    print_warnings(data)
    rows = []
    for row in compare(settings, data, recognizer, options.bundle, seed=options.seed):
        rows.append(row)
        print(row, file=sys.stderr)
    if options.json:
        write_json({"rows": rows}, options.json)
    print(markdown(rows), end="")
