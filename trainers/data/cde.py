"""MEGC2019's composite database (CDE).

It consists of clips of CASME II, SMIC and SAMM, each with one of three classes.

John See, Moi Hoon Yap, Jingting Li, Xiaopeng Hong and Su-Jing Wang, MEGC 2019: The Second Facial Micro-Expressions
Grand Challenge, FG 2019.

Its public list, combined_3class_gt.csv, has no header and one line for each clip, `casme2,sub01,EP02_01f,1`. Emotions
alone do not determine it: CASME II's fear and sadness are not in it, SAMM's are, and a few more clips of CASME II are
missing.
"""

import re
from dataclasses import replace
from pathlib import Path

from merau.engine.csv_table import read_csv
from merau.engine.errors import UserError
from merau.trainers.data.flow_set import CLASSES, UNLABELLED, read_label
from merau.trainers.data.releases.release import Release, digits

DATABASES = {"casme2": "casme2", "smic-hs": "smic", "samm": "samm"}  # release: its name in the list
LINE = "casme2,sub01,EP02_01f,1"
Key = tuple[int | None, str]


def select(release: Release, path: Path) -> Release:
    """Return only the samples of `release` that the list `path` names.

    They get database, subject, clip and class as in the list.

    The first note says which clips of the list were not found.

    Raises:
        UserError: CDE has no clip of the release, or the list cannot be read or names none of its clips.
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
    note = f"{path.name} lists {count} clips of {database}; {len(taken)} of them were found."
    if named:
        note += f" Not found: {', '.join(f'{subject}/{name}' for subject, name, _ in named.values())}."
    return Release(release.dataset, taken, skipped, [note, *release.notes])


def read_list(path: Path, database: str) -> dict[Key, tuple[str, str, str]]:
    """Return subject, clip and class of each line for `database`."""
    named = {}
    for line, row in read_csv(path).lines:
        cells = [cell.strip() for cell in row]
        if len(cells) < 4 or (label := read_label(cells[3], path, line)) == UNLABELLED:
            raise UserError(f"{path}, line {line}: expected a line like {LINE}.")
        if cells[0].lower() == database:
            named[key(*cells[1:3])] = (cells[1], cells[2], CLASSES[label])
    if not named:
        raise UserError(f"{path} lists no clip of {database}: expected lines like {LINE}.")
    return named


def key(subject: str, clip: str) -> Key:
    """Return a key that ignores how numbers are padded.

    ("sub01", "EP02_01f") and ("1", "ep2_1f") have the same key.
    """
    return digits(subject), re.sub(r"0*(\d+)", r"\1", clip.lower())
