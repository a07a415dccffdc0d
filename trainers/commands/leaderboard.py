"""`merau-lab leaderboard`: compare all models by all protocols on a flow set."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from merau.engine.bundle import resolve
from merau.trainers.commands.options import add_command, add_flows, add_macro, add_magnify, add_sampling, magnified
from merau.trainers.commands.output import print_warnings, set_name, write_text
from merau.trainers.data.synth.seeds import EVALUATION_SEED

if TYPE_CHECKING:
    from merau.trainers.data.flow_set import FlowSet
    from merau.trainers.evaluate.leaderboard import Cell

SYNTHETIC_CLIPS = 300


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    purpose = "compare all models by all protocols on a flow set, in one table"
    parser = add_command(commands, "leaderboard", purpose, run)
    add_flows(parser, note=" (default: a synthetic set, which takes minutes to draw)")
    about = "recognizers: default, source, or a bundle's folder (default: default)"
    parser.add_argument("--bundle", type=resolve, nargs="+", default=[resolve("default")], help=about)
    about = "models to compare, also MODULE:CLASS of your own (default: all but ablations)"
    parser.add_argument("--models", nargs="+", metavar="MODEL", help=about)
    about = "protocols to run (default: zero-shot few-shot lodo loso)"
    parser.add_argument("--protocols", nargs="+", metavar="PROTOCOL", help=about)
    about = "classes: cde, 4-way, easy, hard, 5-class, or YAML files (default: cde)"
    parser.add_argument("--tasks", nargs="+", default=["cde"], metavar="TASK", help=about)
    add_sampling(parser)
    add_macro(parser)
    add_magnify(parser)
    about = "file for the document of each run, written when the run ends; runs that OUT holds are not repeated"
    parser.add_argument("--json", type=Path, metavar="OUT", help=about)
    parser.add_argument("--report", type=Path, metavar="HTML", help="page with the table (default: none)")


def run(options: argparse.Namespace) -> None:
    """Run what is missing, print the table as Markdown, and write the page."""
    from merau.engine.recognizer import Recognizer
    from merau.trainers.data import flow_set
    from merau.trainers.data.synthetic_set import draw_set
    from merau.trainers.evaluate import leaderboard

    wanted = leaderboard.cells(
        [(path, Recognizer.load(path, device="cpu")) for path in options.bundle],
        models=options.models or leaderboard.USUAL,
        protocols=options.protocols or leaderboard.PROTOCOLS,
        **{name: getattr(options, name) for name in ("tasks", "shots", "draws", "seeds")},
        macro=tuple(map(str, options.macro)),
    )
    with TemporaryDirectory() as folder:
        if options.flows is None:
            draw_set(Path(folder), SYNTHETIC_CLIPS, EVALUATION_SEED)
        data = flow_set.read(*(options.flows or [Path(folder) / "index.csv"]))
        with magnified(data, options) as seen:
            documents = run_missing(wanted, seen, options.json, set_name(options.flows or [], options))
    print(leaderboard.markdown(documents), end="")
    if options.report is not None:
        write_text(options.report, leaderboard.page(documents))


def run_missing(wanted: "list[Cell]", data: "FlowSet", path: Path | None, name: str) -> list[dict[str, Any]]:
    """Return the document of every cell.

    Only cells whose document is not in `path`, for this set, are run.

    Each document is written to `path` as soon as its run has ended. Raises KeyboardInterrupt that says what was kept.
    """
    from merau.trainers.data import flow_set
    from merau.trainers.evaluate import leaderboard

    digest, warnings = flow_set.digest(data), print_warnings(data)
    stored = leaderboard.read(path, digest) if path else []
    done = {cell: found for cell in wanted if (found := leaderboard.finished(cell, stored))}
    others = [one for one in stored if not any(leaderboard.finished(cell, [one]) for cell in wanted)]
    missing = [cell for cell in wanted if cell not in done]
    try:
        with tqdm(total=len(wanted), initial=len(done), desc="leaderboard", unit="run", disable=None) as bar:
            for cell, document in leaderboard.compare(missing, data, name=name):
                done[cell] = {**document, **warnings, "set_sha256": digest}
                if path:
                    leaderboard.write(path, [*(done[one] for one in wanted if one in done), *others])
                bar.update()
                tqdm.write(f"{len(done)} of {len(wanted)}: {leaderboard.line(document)}", file=sys.stderr)
    except KeyboardInterrupt as interrupt:
        kept = f"are in {path}; the same command continues from there" if path else "are lost; --json OUT keeps them"
        raise KeyboardInterrupt(f"Stopped: {len(done)} of {len(wanted)} runs {kept}.") from interrupt
    return [done[cell] for cell in wanted]
