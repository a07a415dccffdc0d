"""MMEW: Ben et al., IEEE TPAMI 2021. 300 micro-expressions of 36 subjects; its 900 macro-expressions are single images.

meb's corrections of sixteen rows are not made: their values are not published apart from it.
"""

from pathlib import Path

from trainers.data.releases.release import Corrections, Release, annotated, folders_by_name, gather, read_sheet

COLUMNS = {
    "subject": "Subject", "name": "Filename", "onset": "OnsetFrame", "apex": "ApexFrame", "offset": "OffsetFrame",
    "aus": "Action Units", "emotion": "Estimated Emotion",
}  # fmt: skip


def load(root: Path, corrections: Corrections) -> Release:
    """`root` holds MMEW_Micro_Exp.xlsx and Micro_Expression/happiness/S03-01-002 (or S03/happiness/...) of frames."""
    found = folders_by_name(root)
    clips = []
    for row in read_sheet(root, ("MMEW_Micro*.xls*",), COLUMNS):
        folder = found.get(row["name"].lower(), [None])[0]
        clips.append(annotated(row, row["subject"].zfill(2), folder))
    return gather("mmew", clips)
