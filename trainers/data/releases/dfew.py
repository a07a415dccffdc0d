"""DFEW: Jiang et al., ACM MM 2020.

Macro-expressions from movies, one emotion each, without onset or subject.

The first frame is used as onset and the middle one as apex; each clip counts as a subject of its own.
"""

from pathlib import Path

from merau.engine.csv_table import read_csv
from merau.trainers.data.releases.release import Corrections, Entry, Release, find, folders_by_name, gather

EMOTIONS = {
    "1": "happiness", "2": "sadness", "3": "neutral", "4": "anger", "5": "surprise", "6": "disgust", "7": "fear",
}  # fmt: skip


def load(root: Path, corrections: Corrections) -> Release:
    """Load the release in `root`.

    It holds single_trainset_1.csv, single_testset_1.csv, and the folders 00001 of frames.
    """
    found = folders_by_name(root)
    clips = []
    for pattern in ("single_trainset_1.csv", "single_testset_1.csv"):
        lines = read_csv(find(root, (pattern,))).lines
        rows = [cells for _, cells in lines if len(cells) >= 2 and cells[1].strip() in EMOTIONS]
        for name, label, *_ in rows:
            name = Path(name.strip()).stem.zfill(5)
            folder = found.get(name, [None])[0]
            clips.append(Entry(name, name, folder, None, None, None, "", EMOTIONS[label.strip()], "macro"))
    return gather("dfew", clips)
