"""Files that are whole or not there: written beside their place, then put there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from merau.engine.errors import UserError


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that replaces `path` once it is complete. A device or a pipe is written to directly.

    Raises:
        UserError: The file cannot be written. An earlier file at `path` stays whole.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
        else:
            yield from _write_beside(path.resolve())  # a link stays a link
    except OSError as error:
        raise UserError("{path} cannot be written: {reason}.", path=path, reason=error.strerror or error) from error


def _write_beside(path: Path) -> Iterator[IO[bytes]]:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there. Raises UserError if nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            "The folder {folder} cannot be made: {reason}.", folder=folder, reason=error.strerror
        ) from error
    if not os.access(folder, os.W_OK):
        raise UserError("The folder {folder} is write-protected.", folder=folder)
