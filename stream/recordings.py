"""The recordings of a batch: files as they are given, and the videos of folders."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from merau.engine.errors import UserError

# What a folder's files are taken for recordings by; a file that is given by its name may have any.
SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".dv", ".flv", ".h264", ".hevc", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)


@dataclass(frozen=True)
class Recording:
    """One recording of a batch.

    Attributes:
        path: The file.
        name: What its results are called in the output folder, different for each recording: "interview", or
            "P01/interview" for one that lies below the folder that was given.
        size: Bytes of the file; 0 if it is not there.
    """

    path: str
    name: str
    size: int


def find_recordings(given: Sequence[str], *, recursive: bool = False) -> list[Recording]:
    """Return the recordings of a batch in the order given, those of a folder by name ("P2" before "P10"), each once.

    Args:
        given: Files and folders.
        recursive: Whether folders below those that are given are searched, too. Links to folders are not followed.

    Raises:
        UserError: A folder holds no recording, or cannot be read.
    """
    found: dict[str, tuple[str, PurePath]] = {}
    for path in given:
        files = _files_of(Path(path), recursive) if os.path.isdir(path) else [(path, PurePath(PurePath(path).name))]
        for file, relative in files:
            found.setdefault(os.path.realpath(file), (file, relative))
    taken: set[str] = set()
    return [Recording(file, _free_name(relative, taken), _size(file)) for file, relative in found.values()]


def _files_of(folder: Path, recursive: bool) -> list[tuple[str, PurePath]]:
    """Return the paths of a folder's recordings, each with its path from there."""
    files = sorted(_walk(folder, recursive), key=_natural_key)
    if not files and not recursive and any(_walk(folder, True)):
        raise UserError("There is no recording in '{name}' itself: --recursive searches its folders.", name=folder)
    if not files:
        raise UserError("There is no recording in '{name}'.", name=folder)
    return [(os.fspath(path), path.relative_to(folder)) for path in files]


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UserError("'{name}' cannot be read: {reason}.", name=error.filename, reason=error.strerror) from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                yield Path(parent, name)


def _natural_key(path: Path) -> list[tuple[int, str]]:
    """Sort numbers in names by their value."""
    parts = re.split(r"(\d+)", os.fspath(path).casefold())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _free_name(relative: PurePath, taken: set[str]) -> str:
    """Return the path without its suffix, with a number if another recording of the batch has that name."""
    name = stem = os.path.splitext(relative.as_posix())[0]
    number = 1
    while name.casefold() in taken:  # some systems hold "Talk" and "talk" for one
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):  # analysing it tells why
        return 0
