"""SMIC: Li et al., FG 2013: high-speed, visible and near-infrared cameras, the last two of ten subjects. No sheet, no
apex, no Action Units: subject and class stand in the name of a clip.
"""

import re
from pathlib import Path

from merau.engine.errors import UserError
from merau.trainers.data.releases.release import Corrections, Entry, Release, folders_by_name, gather

CLIP = re.compile(r"s0*(\d+)_(ne|po|sur)_(\d+)", re.IGNORECASE)
EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}


def load_hs(root: Path, corrections: Corrections) -> Release:
    return load(root, "HS")


def load_vis(root: Path, corrections: Corrections) -> Release:
    return load(root, "VIS")


def load_nir(root: Path, corrections: Corrections) -> Release:
    return load(root, "NIR")


def load(root: Path, camera: str) -> Release:
    """`root` holds HS/s20/micro/negative/s20_ne_01 (or VIS, NIR) of frames, raw or cropped; the folder `camera` may be
    `root` itself. Long clips (SMIC-E) and non_micro are passed over.
    """
    found = clips(root, camera)
    if not found:
        raise UserError(f"{root} holds no clip like {camera}/s20/micro/negative/s20_ne_01: is it SMIC's folder?")
    return gather(f"smic-{camera.lower()}", found)


def clips(root: Path, camera: str) -> list[Entry]:
    """Each clip once, however its subject's number is padded: s3_po_05 and s03_po_05 are the same."""
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
    parts = [part.upper() for part in folder.relative_to(root).parts]
    long = any("LONG" in part or "SMIC-" in part or part == "NON_MICRO" for part in parts)
    return camera in (root.name.upper(), *parts) and not long
