"""MMEW: Ben et al., IEEE TPAMI 2021. 300 micro-expressions of 36 subjects.

Its 900 macro-expressions are single images and are not read. The corrections of sixteen rows in meb are not applied:
their values are published nowhere else.
"""

from pathlib import Path

from merau.trainers.data.emotions import emotion
from merau.trainers.data.releases.release import (
    Corrections,
    Release,
    folders_by_name,
    gather,
    make_entry,
    read_sheet,
    subject_name,
)

COLUMNS = {
    "subject": "Subject", "name": "Filename", "onset": "OnsetFrame", "apex": "ApexFrame", "offset": "OffsetFrame",
    "aus": "Action Units", "emotion": "Estimated Emotion",
}  # fmt: skip
OTHERS = "others-as-repression"  # how meb reads a class that the release leaves open


def load(root: Path, corrections: Corrections) -> Release:
    """Load the release in `root`.

    It holds MMEW_Micro_Exp.xlsx and Micro_Expression/happiness/S03-01-002 or S03/happiness/... of frames.
    """
    found = folders_by_name(root)
    rows = read_sheet(root, ("MMEW_Micro*.xls*",), COLUMNS)
    notes = []
    if OTHERS in corrections.readings:
        others = [row for row in rows if emotion(row["emotion"]) == "others"]
        for row in others:
            row["emotion"] = "repression"
        notes.append(f"Reading {OTHERS}: applied to {len(others)} clips.")
    clips = []
    for row in rows:
        folder = found.get(row["name"].lower(), [None])[0]
        clips.append(make_entry(row, subject_name(row["subject"], "{:02d}"), folder, rate_hz=90))
    return gather("mmew", clips, notes)
