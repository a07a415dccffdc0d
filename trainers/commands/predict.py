"""`merau-lab predict`: write a recognizer's predictions for a flow set."""

import argparse
from pathlib import Path
from typing import Any

from merau.trainers.commands.options import add_bundle, add_command, add_flows


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    parser = add_command(commands, "predict", "write a recognizer's predictions for a flow set as CSV", run)
    add_flows(parser, required=True)
    add_bundle(parser)
    about = "CSV to write: class probabilities, Action Units and embedding of each sample"
    parser.add_argument("--out", type=Path, required=True, help=about)


def run(options: argparse.Namespace) -> None:
    """Predict every sample of the set and write the CSV."""
    from merau.engine.recognizer import Recognizer
    from merau.trainers.commands.output import print_warnings
    from merau.trainers.data import flow_set
    from merau.trainers.evaluate.predict import predict, write

    recognizer = Recognizer.load(options.bundle, device="cpu", precision=options.precision)
    data = flow_set.read(*options.flows)
    print_warnings(data)
    write(options.out, data, predict(recognizer, data, flow_set.read_flows(data)))
