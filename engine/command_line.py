"""The parser of a command line with commands."""

import argparse
from collections.abc import Sequence
from typing import Any


class CommandParser(argparse.ArgumentParser):
    """A parser whose commands report what they do not know under their own usage, not under that of the program."""

    def parse_known_args(  # type: ignore[override]  # its overloads return what this returns
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[Any, list[str]]:
        """Parse all arguments; exit with code 2 where one is unknown."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown
