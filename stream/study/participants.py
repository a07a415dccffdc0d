"""Whom a recording shows, and under which condition: from a CSV, or from the path of the recording."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PureWindowsPath

from merau.engine.csv_table import read_csv
from merau.engine.errors import Message, UserError

PARTICIPANT = "participant"
KEYS = ("recording", "file", "source", "session")  # the column that names the recording, the first that is there
FACE = "face"
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Assignment:
    """What is known of the faces of a study.

    Attributes:
        columns: "participant" and the conditions, in their order.
        find: Takes a recording's path and the number of a face, returns the value of each column; empty if unknown.
        notes: What was assumed.
    """

    columns: tuple[str, ...] = ()
    find: Callable[[str, int], Mapping[str, str]] = field(default=lambda path, face: {})
    notes: tuple[Message, ...] = ()

    @property
    def conditions(self) -> tuple[str, ...]:
        """The columns but for the participant."""
        return tuple(name for name in self.columns if name != PARTICIPANT)


def read_participants(path: Path) -> Assignment:
    """Read a CSV with a column `recording`, perhaps `face`, then `participant` and any conditions.

    A recording is named by the end of its path, with or without suffix: "P01/talk.mp4", "P01/talk" or "talk".

    Raises:
        UserError: The file cannot be read, lacks a column, or names a recording twice.
    """
    table = read_csv(path)
    key = next((name for name in KEYS if name in table.header), None)
    if key is None or PARTICIPANT not in table.header:
        raise UserError("{path} needs the columns recording and participant.", path=path)
    columns = (PARTICIPANT, *(name for name in table.header if name and name not in (*KEYS, FACE, PARTICIPANT)))
    odd = next((name for name in columns if not _NAME.fullmatch(name)), None)
    if odd:
        raise UserError(
            "{path}: the column '{name}' needs a name of letters, digits and underscores.", path=path, name=odd
        )
    rows: dict[tuple[tuple[str, ...], str], dict[str, str]] = {}
    for line, cells in table.rows((key, PARTICIPANT)):
        named = path_parts(cells[key]), cells.get(FACE, "")
        if named in rows:
            raise UserError("{path}, line {line}: '{name}' was named before.", path=path, line=line, name=cells[key])
        rows[named] = {name: cells[name] for name in columns}

    def find(recording: str, face: int) -> Mapping[str, str]:
        parts = path_parts(recording)
        for start in range(len(parts)):  # the longest end of the path first
            for number in (str(face), ""):
                if known := rows.get((parts[start:], number)):
                    return known
        return {}

    return Assignment(columns, find, table.notes)


def from_pattern(pattern: str) -> Assignment:
    """Return what the end of a recording's path tells: "{participant}/{condition}" or "{participant}_{day}".

    Raises:
        UserError: The pattern names nothing, or something twice.
    """
    names = _PLACE.findall(pattern)
    if PARTICIPANT not in names or len(set(names)) < len(names):
        raise UserError(
            "The pattern '{pattern}' must have {{participant}} once, and may have names of conditions, such as "
            "{{participant}}_{{condition}}.",
            pattern=pattern,
        )
    literal = iter(_PLACE.split(pattern))
    expression = "".join(
        f"(?P<{part}>[^/]+?)" if number % 2 else re.escape(part) for number, part in enumerate(literal)
    )
    ending = re.compile(rf"(?:^|/){expression}$")

    def find(recording: str, face: int) -> Mapping[str, str]:
        found = ending.search("/".join(path_parts(recording)))
        return found.groupdict() if found else {}

    return Assignment(tuple(names), find)


def path_parts(path: str) -> tuple[str, ...]:
    """Return the parts of a path of any system; the last one without the suffix of a video."""
    parts = (PureWindowsPath(path) if "\\" in path else PurePath(path)).parts
    return (*parts[:-1], re.sub(r"\.\w{2,5}$", "", parts[-1])) if parts else ()
