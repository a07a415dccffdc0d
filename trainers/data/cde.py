"""MEGC2019's composite database (CDE): which clips of CASME II, SMIC and SAMM are in it, and which class each is of.

Its public list, combined_3class_gt.csv, has no header and a line a clip, `casme2,sub01,EP02_01f,1`. Emotions alone do
not lead there: CASME II's fear and sadness are not in it, SAMM's are, nor are a few more clips of CASME II.
"""

import re
from dataclasses import replace
from pathlib import Path

from merau.engine.errors import UserError
from merau.trainers.data.flow_set import CLASSES, UNLABELLED, csv_lines, read_label
from merau.trainers.data.releases.release import Release, digits

DATABASES = {"casme2": "casme2", "smic-hs": "smic", "samm": "samm"}  # release: its name in the list
LINE = "casme2,sub01,EP02_01f,1"
Key = tuple[int | None, str]


def chosen(release: Release, path: Path) -> Release:
    """`release` with those samples alone that the list `path` names: database, subject, clip and class as it says.

    The first note tells which clips of the list were not found. Raises UserError for a release that CDE has no clip of,
    and for a list that cannot be read or names none of its clips.
    """
    if release.dataset not in DATABASES:
        raise UserError(f"CDE has no clip of {release.dataset}: it consists of {', '.join(DATABASES)}.")
    database = DATABASES[release.dataset]
    named = read_list(path, database)
    count, taken, skipped = len(named), [], list(release.skipped)
    for sample in release.samples:
        if found := named.pop(key(sample.subject, sample.name), None):
            subject, name, label = found
            taken.append(replace(sample, dataset=database, subject=subject, name=name, label=label))
        else:
            skipped.append((f"{sample.subject}/{sample.name}", f"not in {path.name}"))
    note = f"{path.name} names {count} clips of {database}, {len(taken)} of them were found."
    if named:
        note += f" Not found: {', '.join(f'{subject}/{name}' for subject, name, _ in named.values())}."
    return Release(release.dataset, taken, skipped, [note, *release.notes])


def read_list(path: Path, database: str) -> dict[Key, tuple[str, str, str]]:
    """Subject, clip and class of each line on `database`."""
    named = {}
    with csv_lines(path, f"The list {path}") as lines:
        for line, cells in enumerate(lines, start=1):
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if len(cells) < 4 or (label := read_label(cells[3], path, line)) == UNLABELLED:
                raise UserError(f"{path}, line {line} is no line like {LINE}.")
            if cells[0].lower() == database:
                named[key(*cells[1:3])] = (cells[1], cells[2], CLASSES[label])
    if not named:
        raise UserError(f"{path} names no clip of {database}: expected lines like {LINE}.")
    return named


def key(subject: str, clip: str) -> Key:
    """The same for ("sub01", "EP02_01f") and ("1", "ep2_1f"): numbers count, not how they are padded."""
    return digits(subject), re.sub(r"0*(\d+)", r"\1", clip.lower())
