"""`merau-lab repeat`: run a training again, from the run.json that it left."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from merau.engine.errors import UserError
from merau.trainers.commands.options import add_command


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    parser = add_command(commands, "repeat", "run a training again, from the run.json in its folder", run)
    parser.add_argument("run_file", type=Path, metavar="RUN.json", help="file that the training left")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new bundle")


def run(options: argparse.Namespace) -> None:
    """Repeat the command, and say what differs from the first time."""
    from merau.trainers.learn.run_file import differences, read_run

    recorded = read_run(options.run_file)
    for sentence in differences(recorded):
        print(f"merau-lab: warning: {sentence}", file=sys.stderr)
    command = [sys.executable, "-m", "merau.trainers.cli", *recorded.arguments, "--out", str(options.out)]
    if subprocess.run(command, check=False).returncode:
        raise UserError("The training was not repeated, for the reason above.")
