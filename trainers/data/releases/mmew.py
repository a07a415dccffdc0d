"""MMEW: Ben et al., IEEE TPAMI 2021. 300 micro-expressions of 36 subjects; 900 macro-expressions are single images."""

from pathlib import Path

from trainers.data.emotions import emotion
from trainers.data.releases.release import (
    Correction,
    Corrections,
    Release,
    annotated,
    correct,
    folders_by_name,
    gather,
    read_sheet,
)

PUBLISHED_ROWS = 300
COLUMNS = {
    "subject": "Subject", "name": "Filename", "onset": "OnsetFrame", "apex": "ApexFrame", "offset": "OffsetFrame",
    "aus": "Action Units", "emotion": "Estimated Emotion",
}  # fmt: skip
WHY = "apex and offset of the sheet are wrong; as T. Varanka's loaders (meb) have it"
MENDED = {  # row: apex, offset
    33: (40, 75), 35: (15, 54), 36: (46, 59), 37: (20, 98), 38: (25, 80), 39: (20, 93), 40: (23, 58), 41: (28, 61),
    42: (32, 68), 142: (56, 88), 143: (32, 80), 145: (27, 85), 146: (22, 61), 148: (29, 108), 154: (31, 72),
    156: (38, 106),
}  # fmt: skip
CORRECTIONS = tuple(
    Correction(row, column, str(value), WHY)
    for row, values in MENDED.items()
    for column, value in zip(("apex", "offset"), values, strict=True)
)
OTHERS = "others-as-repression"  # meb's reading of a class that the release itself leaves open


def load(root: Path, corrections: Corrections) -> Release:
    """`root` holds MMEW_Micro_Exp.xlsx and Micro_Expression/happiness/S03-01-002 (or S03/happiness/...) of frames."""
    found = folders_by_name(root)
    published = read_sheet(root, ("MMEW_Micro*.xls*",), COLUMNS)
    rows, notes = correct(published, CORRECTIONS, corrections, published=PUBLISHED_ROWS)
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
