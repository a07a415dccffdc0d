"""What the loaders of releases share: sheets in, validated samples out, and a report of everything left out or mended.

A loader names where its sheet is, which column is which and where a clip's frames lie; `gather` checks each clip
against the frames on disk.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from python_calamine import CalamineError, CalamineWorkbook

from merau.engine.errors import UserError
from merau.trainers.data.emotions import coarse, emotion

PICTURES = {".bmp", ".jpeg", ".jpg", ".png"}
Row = dict[str, str]


@dataclass(frozen=True)
class Correction:
    """A cell of a published sheet that is known to be wrong: `row` counts the data rows from 0."""

    row: int
    column: str
    value: str
    why: str

    @property
    def name(self) -> str:
        return f"{self.row}:{self.column}"


@dataclass(frozen=True)
class Corrections:
    """Which of a release's corrections to make: all but those named ROW:COLUMN, or none where `made` is False.

    `readings` of what a sheet leaves open are no corrections of errors: those are made that are named.
    """

    made: bool = True
    without: frozenset[str] = frozenset()
    readings: frozenset[str] = frozenset()

    def makes(self, name: str) -> bool:
        return self.made and name not in self.without


@dataclass(frozen=True)
class Entry:
    """A clip as the release annotates it. Frames are the numbers in file names; None: not annotated."""

    subject: str
    name: str
    folder: Path | None
    onset: int | None
    apex: int | None
    offset: int | None
    aus: str
    emotion: str
    kind: str = "micro"


@dataclass(frozen=True)
class Sample:
    """A clip that can be used: `frames` from onset to offset in order, `apex` an index into them, `aus` like "4+L10",
    `emotion` in one spelling, `label` negative, positive, surprise or None; `kind` micro or macro.
    """

    dataset: str
    subject: str
    name: str
    frames: tuple[Path, ...]
    apex: int
    aus: str
    emotion: str
    label: str | None
    kind: str


@dataclass
class Release:
    """What was loaded; `skipped` (clip, reason) and `notes`, one sentence each, tell the rest."""

    dataset: str
    samples: list[Sample] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_sheet(
    root: Path, patterns: Sequence[str], columns: Mapping[str, str | int], *, sheet: str | None = None, skip: int = 0
) -> list[Row]:
    """The data rows of the first workbook below `root` whose name matches one of `patterns`, by our names.

    `columns` maps our name to the sheet's header (spelling, case and blanks aside; `|` between alternatives) or to a
    column number where there is no header; `skip` lines come before. UserError where workbook, sheet or column lack.
    """
    path = find(root, patterns)
    try:
        book = CalamineWorkbook.from_path(str(path))
    except (CalamineError, OSError) as error:
        raise UserError(f"{path} is no Excel workbook that can be read: {error}.") from error
    if sheet is not None and sheet not in book.sheet_names:
        raise UserError(f"{path} has no sheet {sheet!r}: its sheets are {', '.join(book.sheet_names)}.")
    lines = book.get_sheet_by_name(sheet or book.sheet_names[0]).to_python(skip_empty_area=False)[skip:]
    headed = any(isinstance(where, str) for where in columns.values())
    header = [plain(cell) for cell in lines[0]] if headed and lines else []
    at = {name: position(where, header, path) for name, where in columns.items()}
    rows = [{name: text(line[i]) if i < len(line) else "" for name, i in at.items()} for line in lines[headed:]]
    return [row for row in rows if any(row.values())]


def find(root: Path, patterns: Sequence[str]) -> Path:
    """The first file below `root` of the first pattern that matches any."""
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.")
    for pattern in patterns:
        for path in sorted(root.rglob(pattern)):
            if not path.name.startswith("~"):  # a lock file of Excel
                return path
    raise UserError(f"{root} holds no sheet {' or '.join(patterns)}: is it the release's folder?")


def position(where: str | int, header: Sequence[str], path: Path) -> int:
    if isinstance(where, int):
        return where
    for name in where.split("|"):
        if plain(name) in header:
            return header.index(plain(name))
    raise UserError(f"{path} has no column {where.replace('|', ' or ')}.")


def plain(cell: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(cell).lower())


def text(cell: object) -> str:
    """A cell as text; whole numbers without a fraction."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def number(cell: str) -> int | None:
    """A frame number; None for what is none ("/", "?", empty, below 0). Fractions are rounded."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return round(value) if value >= 0 else None


def correct(
    rows: Sequence[Row], corrections: Sequence[Correction], chosen: Corrections, *, published: int
) -> tuple[list[Row], list[str]]:
    """`rows` with the `chosen` corrections made, and a sentence for each.

    They name rows of the sheet as published, with `published` rows; on a sheet of other length none is made.
    """
    mended, notes = [dict(row) for row in rows], []
    wanted = [c for c in corrections if chosen.makes(c.name)]
    if wanted and len(rows) != published:
        return mended, [f"The sheet has {len(rows)} rows, the published one {published}: no correction was made."]
    for c in wanted:
        was = mended[c.row][c.column]
        if was != c.value:
            notes.append(f"Correction {c.name}: {was or 'nothing'} -> {c.value} ({c.why}).")
            mended[c.row][c.column] = c.value
    return mended, notes


def folders_by_name(root: Path) -> dict[str, list[Path]]:
    """Every folder below `root` that holds pictures, by its name in lower case."""
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.")
    found: dict[str, list[Path]] = {}
    for folder in sorted({path.parent for path in root.rglob("*") if path.suffix.lower() in PICTURES}):
        found.setdefault(folder.name.lower(), []).append(folder)
    return found


def clip_folder(found: Mapping[str, Sequence[Path]], name: str, subject: str) -> Path | None:
    """The folder called `name` in one whose number is the subject's: 1, 01, s1, sub01 are the same. Where there are
    several, as of a raw and a cropped release, the first in alphabetical order.
    """
    mine = (f for f in found.get(name.lower(), []) if digits(f.parent.name) == digits(subject))
    return next(mine, None)


def entries(rows: Iterable[Row], root: Path) -> Iterator[Entry]:
    """The clips of `rows` with subject, name, onset, apex, offset, aus and emotion, where the folder of frames has the
    clip's name and lies in the subject's.
    """
    found = folders_by_name(root)
    for row in rows:
        yield annotated(row, row["subject"].zfill(2), clip_folder(found, row["name"], row["subject"]))


def annotated(row: Row, subject: str, folder: Path | None, *, kind: str = "micro") -> Entry:
    """The clip of `row`: name, onset, apex, offset, aus and emotion where the sheet has them."""
    onset, apex, offset = (number(row.get(key, "")) for key in ("onset", "apex", "offset"))
    return Entry(subject, row["name"], folder, onset, apex, offset, row["aus"], row.get("emotion", ""), kind)


def digits(name: str) -> int | None:
    """The last number in `name`."""
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else None


def frames_in(folder: Path) -> dict[int, Path]:
    """The pictures of `folder` by the number in their names, in order."""
    numbered = {digits(p.stem): p for p in folder.iterdir() if p.suffix.lower() in PICTURES}
    return {n: numbered[n] for n in sorted(n for n in numbered if n is not None)}


def gather(dataset: str, entries: Iterable[Entry], notes: Sequence[str] = ()) -> Release:
    """Every entry that holds against its frames on disk, and why the others do not."""
    release, names = Release(dataset, notes=list(notes)), dict[str, int]()
    for entry in entries:
        key = f"{entry.subject}/{entry.name}"
        names[key] = names.get(key, 0) + 1
        if names[key] > 1:  # several expressions in one clip
            entry = replace(entry, name=f"{entry.name}_{names[key]}")
        checked = check(dataset, entry)
        if isinstance(checked, str):
            release.skipped.append((f"{entry.subject}/{entry.name}", checked))
        else:
            release.samples.append(checked)
            if entry.apex is None:
                release.notes.append(f"{entry.subject}/{entry.name}: no apex annotated, the middle frame was taken.")
    return release


def check(dataset: str, entry: Entry) -> Sample | str:
    """The sample of `entry`, or why there is none."""
    if entry.folder is None:
        return "its frames are not there"
    frames = frames_in(entry.folder)
    if not frames:
        return "its folder holds no numbered frame"
    onset, offset = entry.onset, entry.offset
    onset = min(frames) if onset is None else onset
    offset = offset if offset else entry.apex or max(frames)  # 0 means unknown in CAS(ME)^2
    apex = (onset + offset) // 2 if entry.apex is None else entry.apex
    if not onset <= apex <= offset:
        return f"onset {onset}, apex {apex}, offset {offset} are not in this order"
    if onset == apex:
        return f"onset and apex are the same frame, {onset}"
    numbers = [n for n in frames if onset <= n <= offset]
    missing = [n for n in (onset, apex) if n not in frames]
    if missing and entry.apex is not None:
        return f"frame {', '.join(map(str, missing))} is not in {entry.folder.name}"
    if len(numbers) < 2:
        return f"fewer than two frames lie between {onset} and {offset}"
    nearest = int(np.abs(np.array(numbers) - apex).argmin())
    name = emotion(entry.emotion)
    paths = tuple(frames[n] for n in numbers)
    return Sample(dataset, entry.subject, entry.name, paths, max(nearest, 1), entry.aus, name, coarse(name), entry.kind)
