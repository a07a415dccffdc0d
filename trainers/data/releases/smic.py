"""SMIC: Li et al., FG 2013.

High-speed, visible and near-infrared cameras, the last two with ten subjects.

There is no sheet, no apex and no Action Unit: subject and class are part of a clip's name.
"""

import re
from pathlib import Path

from merau.engine.errors import UserError
from merau.trainers.data.releases.release import Corrections, Entry, Release, folders_by_name, gather

CLIP = re.compile(r"s0*(\d+)_(ne|po|sur)_(\d+)", re.IGNORECASE)
EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}


def load_hs(root: Path, corrections: Corrections) -> Release:
    """Load the high-speed camera's clips."""
    return load(root, "HS")


def load_vis(root: Path, corrections: Corrections) -> Release:
    """Load the visible camera's clips."""
    return load(root, "VIS")


def load_nir(root: Path, corrections: Corrections) -> Release:
    """Load the near-infrared camera's clips."""
    return load(root, "NIR")


def load(root: Path, camera: str) -> Release:
    """Load the clips of one camera from `root`.

    It holds HS/s20/micro/negative/s20_ne_01 (or VIS, NIR) of frames, raw or cropped.

    The folder `camera` may be `root` itself. Long clips (SMIC-E) and non_micro are skipped.
    """
    found = clips(root, camera)
    if not found:
        raise UserError(f"{root} holds no clip like {camera}/s20/micro/negative/s20_ne_01: is this SMIC's folder?")
    return gather(f"smic-{camera.lower()}", found)


def clips(root: Path, camera: str) -> list[Entry]:
    """Return each clip once.

    How its subject's number is padded does not matter: s3_po_05 and s03_po_05 are the same.
    """
    found: dict[tuple[int, str, int], Entry] = {}
    for name, folders in sorted(folders_by_name(root).items()):
        matched = CLIP.fullmatch(name)
        short = [folder for folder in folders if is_short(folder, root, camera)]
        if matched and short:
            subject, emotion = int(matched[1]), EMOTIONS[matched[2].lower()]
            clip = Entry(f"s{subject:02d}", name, short[0], None, None, None, "", emotion)
            found.setdefault((subject, emotion, int(matched[3])), clip)
    return list(found.values())


def is_short(folder: Path, root: Path, camera: str) -> bool:
    """Return whether `folder` holds a short clip of `camera`."""
    parts = [part.upper() for part in folder.relative_to(root).parts]
    long = any("LONG" in part or "SMIC-" in part or part == "NON_MICRO" for part in parts)
    return camera in (root.name.upper(), *parts) and not long
