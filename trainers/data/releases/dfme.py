"""DFME: Zhao et al., IEEE TAC 2023.

7,526 micro-expressions; the public splits have 1,856, 474 and 299.
"""

from pathlib import Path

from merau.engine.errors import UserError
from merau.trainers.data.releases.release import (
    Corrections,
    Release,
    files,
    folders_by_name,
    gather,
    make_entry,
    read_sheet,
    subject_name,
)

SHEETS = ("training*.xls*", "testA*.xls*", "testB*.xls*")
COLUMNS = {
    "subject": "Subject", "name": "Filename", "onset": "OnsetFrame", "apex": "ApexFrame", "offset": "OffsetFrame",
    "aus": "AU|AUs|Action Units", "emotion": "Emotion",
}  # fmt: skip


def load(root: Path, corrections: Corrections) -> Release:
    """Load the release in `root`.

    It holds any of training_full_with_AU.xlsx, testA* and testB*, and the folders sub0003_01 of frames.
    """
    present = [pattern for pattern in SHEETS if files(root, pattern)]
    if not present:
        raise UserError(f"{root} holds no sheet {' or '.join(SHEETS)}: is this DFME's folder?")
    found = folders_by_name(root)
    clips = []
    for row in (row for pattern in present for row in read_sheet(root, (pattern,), COLUMNS)):
        folder = found.get(row["name"].lower(), [None])[0]
        clips.append(make_entry(row, subject_name(row["subject"], "sub{:04d}"), folder))
    return gather("dfme", clips)
