"""MMEW: Ben et al., IEEE TPAMI 2021. 300 micro-expressions of 36 subjects; its 900 macro-expressions are single images.

meb's corrections of sixteen rows are not made: their values are not published apart from it.
"""

from pathlib import Path

from merau.trainers.data.emotions import emotion
from merau.trainers.data.releases.release import Corrections, Release, annotated, folders_by_name, gather, read_sheet

COLUMNS = {
    "subject": "Subject", "name": "Filename", "onset": "OnsetFrame", "apex": "ApexFrame", "offset": "OffsetFrame",
    "aus": "Action Units", "emotion": "Estimated Emotion",
}  # fmt: skip
OTHERS = "others-as-repression"  # meb's reading of a class that the release itself leaves open


def load(root: Path, corrections: Corrections) -> Release:
    """`root` holds MMEW_Micro_Exp.xlsx and Micro_Expression/happiness/S03-01-002 (or S03/happiness/...) of frames."""
    found = folders_by_name(root)
    rows = read_sheet(root, ("MMEW_Micro*.xls*",), COLUMNS)
    notes = []
    if OTHERS in corrections.readings:
        others = [row for row in rows if emotion(row["emotion"]) == "others"]
        for row in others:
            row["emotion"] = "repression"
        notes.append(f"Reading {OTHERS}: made of {len(others)} clips.")
    clips = []
    for row in rows:
        folder = found.get(row["name"].lower(), [None])[0]
        clips.append(annotated(row, row["subject"].zfill(2), folder))
    return gather("mmew", clips, notes)
