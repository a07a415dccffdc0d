"""CAS(ME)^3: Li et al., IEEE TPAMI 2022.

Micro-expressions of parts A and C at 30 frames/s, without depth.
"""

from collections.abc import Iterator
from pathlib import Path

from merau.engine.errors import UserError
from merau.trainers.data.flow_set import MICRO_S
from merau.trainers.data.releases.release import (
    Corrections,
    Entry,
    Release,
    digits,
    files,
    folders_by_name,
    gather,
    make_entry,
    read_sheet,
    subject_name,
)

RATE_HZ = 30
SHORT = "half-second"  # reading that takes the definition at its word
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

    By the sheet, most micro-expressions last longer than 0.5 s from onset to offset: only onset to apex is short (the
    authors' words). They are kept, as coded; the reading `half-second` leaves them out.

    Part C has no apex: the middle frame is used. Its subjects are called C1, C2, because they are other people.
    """
    parts = [(PART_A, "label", A_COLUMNS, ""), (PART_C, "mockCrimeME", C_COLUMNS, "C")]
    present = [part for part in parts if any(files(root, pattern) for pattern in part[0])]
    if not present:
        raise UserError(f"{root} holds no sheet {PART_A[0]} or {PART_C[0]}: is this the folder of CAS(ME)^3?")
    release = gather("casme^3", (clip for part in present for clip in clips(root, *part)))
    if SHORT not in corrections.readings:
        return release
    long = [sample for sample in release.samples if (sample.duration_s or 0) > MICRO_S]
    skipped = [(f"{s.subject}/{s.name}", f"it lasts {s.duration_s:.2f} s, longer than {MICRO_S} s") for s in long]
    short = [sample for sample in release.samples if sample not in long]
    notes = [*release.notes, f"Reading {SHORT}: {len(long)} clips that last longer than {MICRO_S} s are left out."]
    return Release("casme^3", short, [*release.skipped, *skipped], notes)


def clips(root: Path, sheets: tuple[str, ...], sheet: str, columns: dict[str, str], prefix: str) -> Iterator[Entry]:
    """Yield the clips of one part; `prefix` precedes the numbers of its subjects."""
    colour = folders_by_name(root).get("color", [])
    for row in read_sheet(root, sheets, columns, sheet=sheet):
        mine = [
            folder
            for folder in colour
            if same_name(folder.parent.name, row["name"])
            and digits(folder.parent.parent.name) == digits(subject_name(row["subject"], "{}"))
            and ("C" in folder.parent.parent.parent.name.upper().split("_")) == bool(prefix)
        ]
        aus = row["aus"].replace("\uff0c", "+").replace(",", "+")
        who = subject_name(row["subject"], f"{prefix}{{}}")
        yield make_entry(row | {"aus": aus}, who, min(mine, default=None), rate_hz=RATE_HZ)


def same_name(one: str, other: str) -> bool:
    """Return whether two names are equal, without case, or as numbers."""
    return one.lower() == other.lower() or (one.isdigit() and other.isdigit() and int(one) == int(other))
