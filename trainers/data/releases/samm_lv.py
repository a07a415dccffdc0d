"""SAMM Long Videos: Yap et al., FG 2020.

343 macro- and 159 micro-expressions in 147 videos at 200 frames/s.
"""

from pathlib import Path

from merau.trainers.data.releases import samm
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

COLUMNS = {
    "name": "Filename", "onset": "Onset", "apex": "Apex", "offset": "Offset", "kind": "Type", "aus": "Action Units",
}  # fmt: skip
PREAMBLE = 9  # lines before the header


def load(root: Path, corrections: Corrections) -> Release:
    """Load the release in `root`.

    It holds SAMM_LongVideos_V*_Release.xlsx and the folders 006_1 of frames.

    The sheet names no emotions: they are those of SAMM's own sheet, if that is below `root` too.
    """
    rows = read_sheet(root, ("SAMM_LongVideos*.xls*",), COLUMNS, sheet="FACS_Movement_Only", skip=PREAMBLE)
    emotions, notes = dict[str, str](), ["SAMM's own sheet is not beside this one: emotions are unknown."]
    if any(files(root, pattern) for pattern in samm.SHEETS):
        micro = read_sheet(root, samm.SHEETS, samm.COLUMNS, sheet="MICRO_ONLY", skip=samm.PREAMBLE)
        emotions, notes = {row["name"]: row["emotion"] for row in micro}, []
    found = folders_by_name(root)
    clips = []
    for row in rows:
        kind = "macro" if row["kind"].lower().startswith("macro") else "micro"
        video = "_".join(row["name"].split("_")[:2])
        folder = found.get(video.lower(), [None])[0]
        who = subject_name(row["name"].split("_")[0], "{:03d}")
        emotion = emotions.get(row["name"], "") if kind == "micro" else ""
        clips.append(make_entry(row | {"emotion": emotion}, who, folder, kind=kind, rate_hz=200))
    return gather("samm-lv", clips, notes)
