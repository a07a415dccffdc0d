"""CASME: Yan et al., CASME Database, FG 2013. 189 micro-expressions."""

from pathlib import Path

from merau.trainers.data.releases.release import Correction, Corrections, Release, correct, entries, gather, read_sheet

PUBLISHED_ROWS = 189
COLUMNS = {
    "subject": "Subject", "name": "Filename", "onset": "OnsetF", "apex": "ApexF1", "offset": "OffsetF", "aus": "AU",
    "emotion": "Emotion",
}  # fmt: skip
WHY = "as in T. Varanka's loaders (meb)"
CORRECTIONS = (
    *(Correction(row, "onset", str(value), WHY) for row, value in ((40, 100), (42, 101), (43, 57))),
    *(Correction(row, "apex", str(value), WHY) for row, value in ((40, 120), (42, 110), (43, 65))),
    *(Correction(row, "offset", str(value), WHY)
      for row, value in ((40, 149), (42, 119), (43, 74), (54, 40), (140, 142))),
)  # fmt: skip


def load(root: Path, corrections: Corrections) -> Release:
    """Load the release in `root`.

    It holds casme.xlsx and the folders sub01/EP01_12 of frames, raw or cropped.
    """
    published = read_sheet(root, ("casme.xls*", "CASME*.xls*"), COLUMNS)
    rows, notes = correct(published, CORRECTIONS, corrections, published=PUBLISHED_ROWS)
    return gather("casme", entries(rows, root, rate_hz=60), notes)
