"""CASME II: Yan et al., PLoS ONE 9, 2014.

255 micro-expressions of 26 subjects at 200 frames/s.
"""

from pathlib import Path

from merau.trainers.data.releases.release import Correction, Corrections, Release, correct, entries, gather, read_sheet

PUBLISHED_ROWS = 255
COLUMNS = {
    "subject": "Subject", "name": "Filename", "onset": "OnsetFrame", "apex": "ApexFrame", "offset": "OffsetFrame",
    "aus": "Action Units", "emotion": "Estimated Emotion",
}  # fmt: skip
WHY = "as in T. Varanka's loaders (meb)"
APEX = {  # the sheet of 2014 lacks these; that of 2019 has all but one, of its own, and they stay
    29: 279, 35: 68, 43: 77, 45: 81, 51: 166, 53: 100, 60: 78, 117: 187, 118: 89, 126: 80, 136: 88, 147: 134, 155: 231,
    168: 53, 170: 329, 177: 111, 202: 91, 203: 103, 234: 98, 237: 153, 238: 98,
}  # fmt: skip
CORRECTIONS = (
    Correction(60, "offset", "91", WHY),
    *(
        Correction(row, "apex", str(value), f"no usable apex in the sheet; {WHY}", if_unusable=True)
        for row, value in APEX.items()
    ),
)


def load(root: Path, corrections: Corrections) -> Release:
    """Load the release in `root`.

    It holds CASME2-coding-*.xlsx and the folders sub01/EP02_01f or 1/EP02_01f of frames.
    """
    published = read_sheet(root, ("CASME2-coding*.xls*", "CASME2*.xls*"), COLUMNS)
    rows, notes = correct(published, CORRECTIONS, corrections, published=PUBLISHED_ROWS)
    return gather("casme2", entries(rows, root, rate_hz=200), notes)
