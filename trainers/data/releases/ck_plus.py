"""CK+: Lucey et al., CVPR Workshops 2010.

Posed macro-expressions from neutral (first frame) to peak (last).
"""

from pathlib import Path

from merau.engine.errors import UserError
from merau.trainers.data.releases.release import Corrections, Entry, Release, files, folders_by_name, frames_in, gather

EMOTIONS = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")


def load(root: Path, corrections: Corrections) -> Release:
    """Load the release in `root`.

    It holds cohn-kanade-images/S011/001 of frames, and Emotion/ and FACS/ with text files in the same tree.

    A sequence without an emotion file has no emotion.
    """
    folders = [f for many in folders_by_name(root).values() for f in many if f.parent.name.upper().startswith("S")]
    if not folders:
        raise UserError(f"{root} holds no sequence like cohn-kanade-images/S011/001: is this the folder of CK+?")
    clips = []
    for folder in sorted(folders):
        subject, name, last = folder.parent.name, folder.name, max(frames_in(folder), default=None)
        codes = [int(float(line)) for line in lines_of(root, subject, name, "emotion")]
        units = [str(int(float(line.split()[0]))) for line in lines_of(root, subject, name, "facs")]
        emotion = EMOTIONS[codes[0]] if codes else ""
        clips.append(Entry(subject, name, folder, None, last, last, "+".join(units), emotion, "macro"))
    return gather("ck+", clips)


def lines_of(root: Path, subject: str, name: str, what: str) -> list[str]:
    """Return the lines of the sequence's *_emotion.txt or *_facs.txt."""
    found = files(root, f"{subject}_{name}_*_{what}.txt")
    return [line for line in found[0].read_text(encoding="utf-8").splitlines() if line.strip()] if found else []
