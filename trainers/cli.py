"""merau-lab: make data sets, train, evaluate, quantize and build recognizers."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from merau.engine.command_line import CommandParser
from merau.engine.errors import UserError
from merau.engine.text import plain_lines
from merau.trainers.commands import (
    bench,
    build,
    evaluate,
    leaderboard,
    pack,
    predict,
    prepare,
    quantize,
    repeat,
    robustness,
    score,
    spot,
    synth,
    train,
)

EXIT_CODES = """\
exit codes: 0 done; 1 error you can fix, explained on stderr; 2 invalid command line; 130 interrupted by Ctrl-C.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = make_parser().parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options.run(options)
    except UserError as error:
        print(plain_lines(f"merau-lab: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"merau-lab: {interrupt or 'Stopped.'}", file=sys.stderr)
        return 130
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser: argparse.ArgumentParser = CommandParser(
        prog="merau-lab",
        description="Make data sets, train, evaluate, quantize and build recognizers.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('merau-live')}")
    parser.set_defaults(run=lambda _: parser.print_help())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    making, scoring = (
        (prepare, synth, train, repeat, spot, quantize, build, pack),
        (predict, evaluate, score, robustness, bench),
    )
    for command in (*making, *scoring, leaderboard):
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
