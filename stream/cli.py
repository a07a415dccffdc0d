"""The command line: `merau COMMAND`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import FrameType
from typing import NoReturn

from merau.engine.command_line import CommandParser
from merau.engine.errors import UserError
from merau.engine.text import plain_lines
from merau.stream.commands import (
    adapt,
    agree,
    alerts,
    analyse,
    bench,
    config,
    demo,
    doctor,
    export,
    import_codings,
    serve,
    sessions,
    store,
    summary,
    ui,
    watch,
)
from merau.stream.log import log_plainly

DESCRIPTION = "merau: recognize micro-expressions live and in recordings."
EXIT_CODES = """\
exit codes:
  0    done; for watch, ui and serve also: ended by Ctrl-C or SIGTERM
  1    an error that you can fix, explained on standard error
  2    invalid command line
  129  the terminal was closed
  130  interrupted by Ctrl-C
  143  ended by SIGTERM
"""
COMMANDS = (
    watch,
    analyse,
    demo,
    summary,
    agree,
    sessions,
    store,
    export,
    import_codings,
    adapt,
    ui,
    alerts,
    serve,
    config,
    doctor,
    bench,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Without a command, print the help, as pip does."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.run is None:
        parser.print_help()
        return 0
    log_plainly()
    signal.signal(signal.SIGTERM, _exit)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # the terminal was closed
        signal.signal(signal.SIGHUP, _exit)  # nohup ignores it; Windows has none
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except UserError as error:
        print(plain_lines(f"merau: {error}"), file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has ended: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("\nmerau: interrupted.", file=sys.stderr)
        return 130


def _exit(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser: argparse.ArgumentParser = CommandParser(
        prog="merau",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"merau {version('merau-live')}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
