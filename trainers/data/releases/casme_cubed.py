"""CAS(ME)^3: Li et al., IEEE TPAMI 2022.

Micro-expressions of parts A and C at 30 frames/s, without depth.
"""

from collections.abc import Iterator
from pathlib import Path

from merau.engine.errors import UserError
from merau.trainers.data.releases.release import (
    Corrections,
    Entry,
    Release,
    digits,
    folders_by_name,
    gather,
    make_entry,
    read_sheet,
)

PART_A = ("cas(me)3_part_A_ME*.xls*", "CAS(ME)3_part_A_ME*.xls*")
PART_C = ("CAS(ME)3_part_C_ME*.xls*", "cas(me)3_part_C_ME*.xls*")
A_COLUMNS = {
    "subject": "Subject", "name": "Filename", "onset": "Onset", "apex": "Apex", "offset": "Offset", "aus": "AU",
    "emotion": "emotion",
}  # fmt: skip
C_COLUMNS = {
    "subject": "sub", "name": "count", "onset": "onset", "offset": "offset", "aus": "au", "emotion": "emotion",
}  # fmt: skip


def load(root: Path, corrections: Corrections) -> Release:
    """Load one or both parts from `root`.

    It holds the sheet of part A and part_A/spNO.1/a/color, or that of part C and ME_C/01/1/color.

    Part C has no apex: the middle frame is used. Its subjects are called C1, C2, because they are other people.
    """
    parts = [(PART_A, "label", A_COLUMNS, ""), (PART_C, "mockCrimeME", C_COLUMNS, "C")]
    present = [part for part in parts if any(any(root.rglob(pattern)) for pattern in part[0])]
    if not present:
        raise UserError(f"{root} holds no sheet {PART_A[0]} or {PART_C[0]}: is this the folder of CAS(ME)^3?")
    return gather("casme^3", (clip for part in present for clip in clips(root, *part)))


def clips(root: Path, sheets: tuple[str, ...], sheet: str, columns: dict[str, str], prefix: str) -> Iterator[Entry]:
    """Yield the clips of one part; `prefix` precedes the numbers of its subjects."""
    colour = folders_by_name(root).get("color", [])
    for row in read_sheet(root, sheets, columns, sheet=sheet):
        mine = [
            folder
            for folder in colour
            if same_name(folder.parent.name, row["name"])
            and digits(folder.parent.parent.name) == digits(row["subject"])
            and ("C" in folder.parent.parent.parent.name.upper().split("_")) == bool(prefix)
        ]
        aus = row["aus"].replace("\uff0c", "+").replace(",", "+")
        yield make_entry(row | {"aus": aus}, f"{prefix}{digits(row['subject'])}", min(mine, default=None))


def same_name(one: str, other: str) -> bool:
    """Return whether two names are equal, without case, or as numbers."""
    return one.lower() == other.lower() or (one.isdigit() and other.isdigit() and int(one) == int(other))
