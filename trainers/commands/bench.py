"""`merau-lab bench truth`: the checks on drawn flow that tell something about real faces."""

import argparse
from pathlib import Path
from typing import Any

from merau.engine.bundle import resolve
from merau.trainers.commands.options import add_command
from merau.trainers.commands.output import write_json, write_text


def add_parser(commands: Any) -> None:
    """Add the parsers to argparse's subparsers `commands`."""
    parser = commands.add_parser("bench", help="run a bench", description="Run a bench.")
    parser.set_defaults(run=lambda _: parser.print_help())
    benches = parser.add_subparsers(title="benches", metavar="BENCH")
    truth = add_command(benches, "truth", "score recognizers on people and geometry kept out of training", run_truth)
    about = "recognizers: default, source, or a bundle's folder or zip (default: default)"
    truth.add_argument("bundles", nargs="*", metavar="BUNDLE", default=["default"], help=about)
    about = "arithmetic of the recognizers (default: %(default)s)"
    truth.add_argument("--precision", choices=("int8", "fp32"), default="int8", help=about)
    truth.add_argument("--samples", type=int, default=1500, help="pairs of each bench (default: %(default)s)")
    about = "mean real flow per Action Unit, to compare the generator with (default: none)"
    truth.add_argument("--aggregate", type=Path, metavar="NPZ", help=about)
    about = "write the figures to OUT instead of printing them, and a page with pictures to OUT.html"
    truth.add_argument("--json", type=Path, metavar="OUT", help=about)


def run_truth(options: argparse.Namespace) -> None:
    """Score each bundle and the generator; write figures and page."""
    from merau.engine.recognizer import Recognizer
    from merau.trainers.evaluate import truth
    from merau.trainers.export.bundle import check_sees_flow

    scores = {}
    for name in options.bundles:
        recognizer = Recognizer.load(resolve(name), device="cpu", precision=options.precision)
        check_sees_flow(recognizer.bundle)
        scores[name] = {"sha256": recognizer.bundle.sha256, **truth.score(recognizer, options.samples)}
    generator = truth.generator_figures(options.samples, options.aggregate)
    document = {"samples": options.samples, "bundles": scores, "generator": generator}
    write_json(document, options.json)
    if options.json:
        write_text(options.json.with_suffix(".html"), truth.page(document))
