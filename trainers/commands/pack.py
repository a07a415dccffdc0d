"""`merau-lab pack`: make an ONNX model a bundle that runs live."""

import argparse
from pathlib import Path
from typing import Any

from merau.trainers.commands.options import add_command


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    parser = add_command(commands, "pack", "make an ONNX model of any tool a bundle that runs live", run)
    parser.add_argument("model", type=Path, help="ONNX file with one input and the classes' logits as first output")
    about = (
        "what it takes: flow (N, 2, 32, 32) or (N, 2, 28, 28), u and v, each axis by its own median and spread; pair "
        "(N, 2, S, S), grey onset and apex in 0..1; clip (N, T, S, S), frames from onset to apex (default: %(default)s)"
    )
    parser.add_argument("--input", choices=("flow", "pair", "clip"), default="flow", help=about)
    about = "names of the classes, in the order of the model's logits"
    parser.add_argument("--classes", nargs="+", required=True, metavar="NAME", help=about)
    about = "numbers of the Action Units whose logits are the model's second output (default: none)"
    parser.add_argument("--aus", nargs="+", default=[], metavar="NUMBER", help=about)
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle, new or empty")


def run(options: argparse.Namespace) -> None:
    """Pack the model and say how it is used."""
    from merau.trainers.export.pack import pack

    pack(options.model, options.out, options.classes, options.aus, options.input)
    print(f"Packed. Try it: merau analyse RECORDING --bundle {options.out}")
