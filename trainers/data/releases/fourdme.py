"""4DME: Li et al., IEEE TAC 2022.

Micro-expressions of the grey camera at 60 frames/s, with one or more emotions.
"""

import re
from pathlib import Path

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
    "subject": "sub_ID", "name": "fold_name", "onset": "Onset", "apex": "Apex", "offset": "Offset", "aus": "AUs",
    "emotion": "Emotion",
}  # fmt: skip
TENTATIVE = "tentative-aus"  # correction that leaves out Action Units marked (k)
SWAPPED = "swapped-aus"  # correction that exchanges the Action Units of two rows of release v1
SWAPPED_ROWS = (144, 145)
WHY = "as in T. Varanka's loaders (meb)"


def load(root: Path, corrections: Corrections) -> Release:
    """Load the release in `root`.

    It holds 4DME_Labelling_Micro*.xlsx and gray_micro/<sub_ID>/<fold_name> of frames.
    """
    found = folders_by_name(root)
    rows = read_sheet(root, ("4DME*Micro*.xls*", "4DME*.xls*"), COLUMNS)
    notes = []
    if corrections.includes(SWAPPED) and len(rows) > max(SWAPPED_ROWS):
        one, other = (rows[i] for i in SWAPPED_ROWS)
        one["aus"], other["aus"] = other["aus"], one["aus"]
        notes.append(f"Correction {SWAPPED}: {one['name']} and {other['name']} ({WHY}).")
    if corrections.includes(TENTATIVE):
        marked = sum("(k)" in row["aus"] for row in rows)
        notes += [f"Correction {TENTATIVE}: Action Units marked (k) are left out in {marked} clips."] if marked else []
        rows = [row | {"aus": re.sub(r"[^+,]*\(k\)[+,]?", "", row["aus"]).strip("+, ")} for row in rows]
    clips = []
    for row in rows:
        who = subject_name(row["subject"], "s{:02d}")
        mine = [f for f in found.get(row["name"].lower(), []) if subject_name(f.parent.name, "s{:02d}") == who]
        clips.append(make_entry(row, who, min(mine, default=None), rate_hz=60))
    return gather("4dme", clips, notes)
