"""CAS(ME)^2: Qu et al., IEEE TAC 2018.

300 macro- and 57 micro-expressions of 22 subjects at 30 frames/s.
"""

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

SHEETS = ("CAS(ME)*code_final.xls*", "code_final.xls*", "*code_final*.xls*")
COLUMNS = {"subject": 0, "name": 1, "onset": 2, "apex": 3, "offset": 4, "aus": 5, "emotion": 6, "kind": 7}


def load(root: Path, corrections: Corrections) -> Release:
    """Load the release in `root`.

    It holds code_final.xlsx, three sheets without headers, and rawpic/s15/15_0101disgustingteeth of frames.
    """
    rows = read_sheet(root, SHEETS, COLUMNS, sheet="CASFEcode_final")
    folder_of = {
        subject_name(row["subject"], "{:02d}"): row["folder"].lower()
        for row in read_sheet(root, SHEETS, {"folder": 1, "subject": 2}, sheet="naming rule1")
    }
    code_of = {
        row["video"].lower(): row["code"].zfill(4)
        for row in read_sheet(root, SHEETS, {"code": 0, "video": 1}, sheet="naming rule2")
    }
    found = [folder for folders in folders_by_name(root).values() for folder in folders]
    clips, notes = [], []
    for row in rows:
        who = subject_name(row["subject"], "{:02d}")
        if row["offset"] == "0":
            row["offset"] = row["apex"]
            notes.append(f"{who}/{row['name']}: the offset is unknown (0), the apex is used as the end.")
        code = code_of.get(row["name"].rsplit("_", 1)[0].lower())
        mine = [f for f in found if f.parent.name.lower() == folder_of.get(who) and f"_{code}" in f.name]
        kind = "macro" if row["kind"].lower().startswith("macro") else "micro"
        clips.append(make_entry(row, who, min(mine, default=None), kind=kind, rate_hz=30))
    return gather("casme^2", clips, notes)
