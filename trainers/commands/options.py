"""Options that several commands have in common."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from merau.engine.bundle import resolve

if TYPE_CHECKING:
    from merau.trainers.data.flow_set import FlowSet

FLOW_METHODS = ("dis", "farneback")
Options = argparse.ArgumentParser | argparse._ArgumentGroup  # what options can be added to
COMBINATIONS = {"coarse": "COMBINATIONS", "source": "SOURCE", "target": "TARGET"}  # names in synth.action_units


def add_command(commands: Any, name: str, purpose: str, run: Any) -> argparse.ArgumentParser:
    """Add the parser of the command `name` to argparse's subparsers `commands`.

    `run` takes its options.
    """
    sentence = f"{purpose[0].upper()}{purpose[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=sentence)
    parser.set_defaults(run=run)
    return parser


def add_flows(parser: Options, *, required: bool = False, note: str = "") -> None:
    """Add --flows, the indices of a flow set."""
    about = f"CSV index of a flow set; several count as one set{note}"
    parser.add_argument("--flows", type=Path, nargs="+", required=required, metavar="INDEX", help=about)


def add_bundle(parser: Options) -> None:
    """Add --bundle and --precision, the recognizer to run."""
    about = "recognizer: default, source, or a bundle's folder or zip (default: %(default)s)"
    parser.add_argument("--bundle", type=resolve, default="default", help=about)
    about = "arithmetic of the recognizer (default: %(default)s)"
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8", help=about)


def add_sampling(parser: Options) -> None:
    """Add --shots, --draws and --seeds, how protocols draw their samples."""
    about = "samples of each class that few-shot shows (default: %(default)s)"
    parser.add_argument("--shots", type=int, default=5, help=about)
    about = "how often few-shot draws these samples (default: %(default)s)"
    parser.add_argument("--draws", type=int, default=100, help=about)
    about = "how often the other protocols run (default: %(default)s)"
    parser.add_argument("--seeds", type=int, default=1, help=about)


def add_macro(parser: Options) -> None:
    """Add --macro, flow sets of macro-expressions."""
    about = "indices of flow sets of macro-expressions, which lightmannet and ma2mi learn from (default: none)"
    parser.add_argument("--macro", type=Path, nargs="+", default=[], metavar="INDEX", help=about)


def add_magnify(parser: Options) -> None:
    """Add --magnify and --factor, what is done to the frames before any recognizer."""
    about = "magnify the motion of all frames first, and measure the flow anew (default: no)"
    parser.add_argument("--magnify", choices=("eulerian", "lagrangian"), help=about)
    about = "how many times as large motion becomes; 1 only measures anew (default: %(default)s)"
    parser.add_argument("--factor", type=float, default=4.0, metavar="TIMES", help=about)


@contextmanager
def magnified(data: "FlowSet", options: argparse.Namespace) -> "Iterator[FlowSet]":
    """Return `data` as --magnify asks for it, as long as the block runs. Raises UserError where frames are missing."""
    if not options.magnify:
        yield data
        return
    from merau.trainers.data.changes.changed_set import change_set
    from merau.trainers.data.changes.eulerian import Eulerian
    from merau.trainers.data.changes.lagrangian import Lagrangian

    change = (Eulerian if options.magnify == "eulerian" else Lagrangian)(options.factor)
    with TemporaryDirectory() as folder:
        yield change_set(data, Path(folder), change)


def add_seed(parser: Options) -> None:
    """Add --seed."""
    parser.add_argument("--seed", type=int, default=0, help="seed of all random draws (default: %(default)s)")


def add_classes(parser: Options) -> None:
    """Add --classes, which expressions synthetic data shows."""
    about = (
        "expressions to draw: coarse is negative, positive and surprise; source and target are the classes of "
        "CASME II and CASME (default: %(default)s)"
    )
    parser.add_argument("--classes", choices=COMBINATIONS, default="coarse", help=about)


def combinations_of(options: argparse.Namespace) -> Any:
    """Return the Action Unit combinations of --classes."""
    from merau.trainers.data.synth import action_units

    return getattr(action_units, COMBINATIONS[options.classes])
