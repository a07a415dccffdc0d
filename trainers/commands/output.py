"""How commands write documents and warnings."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merau.engine.errors import UserError

if TYPE_CHECKING:
    from merau.trainers.data.flow_set import FlowSet


def print_warnings(data: "FlowSet") -> dict[str, list[str]]:
    """Print warnings about the set's images, subjects and durations to stderr.

    They are returned as a field of a document.
    """
    from merau.trainers.data import channels, flow_set

    warnings = [*channels.warnings(data), *flow_set.warnings(data)]
    for sentence in warnings:
        print(f"merau-lab: warning: {sentence}", file=sys.stderr)
    return {"warnings": warnings} if warnings else {}


def write_json(document: dict[str, Any], path: Path | None) -> None:
    """Write `document` to `path`, or print it where there is none."""
    text = json.dumps(document, indent=2) + "\n"
    if path is None:
        print(text, end="")
    else:
        write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, making its folder. Raises UserError where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def set_name(indices: Sequence[Path], options: argparse.Namespace) -> str:
    """Return the name of the set that `indices` make up, and how it is magnified."""
    by = f" ({options.magnify} x {options.factor:g})" if options.magnify else ""
    return ", ".join(map(str, indices)) + by
