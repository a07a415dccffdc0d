"""SAMM: Davison et al., IEEE TAC 2018.

159 micro-expressions of 29 subjects at 200 frames/s.
"""

from pathlib import Path

from merau.trainers.data.facs import undecided_units
from merau.trainers.data.releases.release import Correction, Corrections, Release, correct, entries, gather, read_sheet

PUBLISHED_ROWS = 159
SHEETS = ("SAMM*Micro*FACS*.xls*",)
COLUMNS = {
    "subject": "Subject", "name": "Filename", "onset": "Onset Frame", "apex": "Apex Frame", "offset": "Offset Frame",
    "aus": "Action Units", "emotion": "Estimated Emotion",
}  # fmt: skip
PREAMBLE = 13  # lines before the header
WHY = "as in T. Varanka's loaders (meb)"
CORRECTIONS = (
    Correction(56, "offset", "5739", WHY),
    *(Correction(row, "apex", str(value), WHY) for row, value in ((125, 1105), (132, 4945), (133, 5130))),
)


def load(root: Path, corrections: Corrections) -> Release:
    """Load the release in `root`.

    It holds SAMM_Micro_FACS_Codes_v2.xlsx and the folders 006/006_1_2 of frames, raw or cropped.

    Five clips have one Action Unit "or" another. The codes stay as they are, and neither unit counts as coded
    (`unit_numbers`).
    """
    published = read_sheet(root, SHEETS, COLUMNS, sheet="MICRO_ONLY", skip=PREAMBLE)
    rows, notes = correct(published, CORRECTIONS, corrections, published=PUBLISHED_ROWS)
    undecided = sum(bool(undecided_units(row["aus"])) for row in rows)
    if undecided:
        notes.append(f"Action Units joined by 'or' count neither as coded nor as absent, in {undecided} clips.")
    return gather("samm", entries(rows, root, subject="{:03d}", rate_hz=200), notes)
