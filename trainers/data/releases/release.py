"""What the loaders of releases share.

They read sheets, validate samples, and note all that is left out or corrected.

A loader says where its sheet is, what its columns mean and where a clip's frames are; `gather` checks each clip against
the frames on disk.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from python_calamine import CalamineError, CalamineWorkbook

from merau.engine.errors import UserError
from merau.trainers.data.emotions import coarse, emotion

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png"}
Row = dict[str, str]


@dataclass(frozen=True)
class Correction:
    """A cell of a published sheet that is known to be wrong.

    It has the right value and its source; `row` counts from 0.
    """

    row: int
    column: str
    value: str
    why: str

    @property
    def name(self) -> str:
        """ROW:COLUMN."""
        return f"{self.row}:{self.column}"


@dataclass(frozen=True)
class Corrections:
    """Which corrections and readings to apply to a release.

    Attributes:
        apply: Whether to correct known errors at all.
        without: Names, ROW:COLUMN, of corrections to leave out.
        readings: Names of readings of what the sheet leaves open; by default none is applied.
    """

    apply: bool = True
    without: frozenset[str] = frozenset()
    readings: frozenset[str] = frozenset()

    def includes(self, name: str) -> bool:
        """Return whether the correction `name` is to be applied."""
        return self.apply and name not in self.without


@dataclass(frozen=True)
class Entry:
    """A clip as the release annotates it.

    Frames are numbers in file names, None where not annotated.
    """

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
    """A clip that can be used.

    Attributes:
        dataset: Name of the data set.
        subject: Name of the subject.
        name: Name of the clip.
        frames: Paths of the frames from onset to offset.
        apex: Index into `frames`.
        aus: Codes like "4+L10".
        emotion: Emotion in one spelling.
        label: negative, positive, surprise or None.
        kind: micro or macro.
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
    """Loaded samples, skipped clips with their reasons, and notes."""

    dataset: str
    samples: list[Sample] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_sheet(
    root: Path, patterns: Sequence[str], columns: Mapping[str, str | int], *, sheet: str | None = None, skip: int = 0
) -> list[Row]:
    """Return the data rows of a sheet, by our column names.

    Args:
        root: Folder of the release.
        patterns: File names of the workbook; the first match anywhere below `root` is read.
        columns: Our name -> the sheet's header, compared without case and blanks, with `|` between alternatives; or the
            column's number in a sheet without header.
        sheet: Name of the sheet; None for the first.
        skip: Lines before the header.

    Raises:
        UserError: Workbook, sheet or column are missing.
    """
    path = find(root, patterns)
    try:
        book = CalamineWorkbook.from_path(str(path))
    except (CalamineError, OSError) as error:
        raise UserError(f"{path} is not an Excel workbook that can be read: {error}.") from error
    if sheet is not None and sheet not in book.sheet_names:
        raise UserError(f"{path} has no sheet {sheet!r}: its sheets are {', '.join(book.sheet_names)}.")
    lines = book.get_sheet_by_name(sheet or book.sheet_names[0]).to_python(skip_empty_area=False)[skip:]
    has_header = any(isinstance(where, str) for where in columns.values())
    header = [normalize_header(cell) for cell in lines[0]] if has_header and lines else []
    at = {name: column_index(where, header, path) for name, where in columns.items()}
    rows = [
        {name: cell_text(line[i]) if i < len(line) else "" for name, i in at.items()} for line in lines[has_header:]
    ]
    return [row for row in rows if any(row.values())]


def find(root: Path, patterns: Sequence[str]) -> Path:
    """Return the first file below `root` of the first pattern that matches."""
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.")
    for pattern in patterns:
        for path in sorted(root.rglob(pattern)):
            if not path.name.startswith("~"):  # a lock file of Excel
                return path
    raise UserError(f"{root} holds no sheet {' or '.join(patterns)}: is this the release's folder?")


def column_index(where: str | int, header: Sequence[str], path: Path) -> int:
    """Return the index of the column that `where` describes.

    Raises UserError where `header` lacks it.
    """
    if isinstance(where, int):
        return where
    for name in where.split("|"):
        if normalize_header(name) in header:
            return header.index(normalize_header(name))
    raise UserError(f"{path} has no column {where.replace('|', ' or ')}.")


def normalize_header(cell: object) -> str:
    """Return a header in lower case, letters and digits only."""
    return re.sub(r"[^a-z0-9]", "", str(cell).lower())


def cell_text(cell: object) -> str:
    """Return a cell as text, whole numbers without a fraction."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def number(cell: str) -> int | None:
    """Return a frame number, rounded.

    None for anything else ("/", "?", empty, below 0).
    """
    try:
        value = float(cell)
    except ValueError:
        return None
    return round(value) if value >= 0 else None


def correct(
    rows: Sequence[Row], corrections: Sequence[Correction], chosen: Corrections, *, published: int
) -> tuple[list[Row], list[str]]:
    """Apply the `chosen` corrections to `rows`.

    Return the rows, and a sentence for each correction.

    Corrections refer to rows of the sheet as published, which has `published` rows; a sheet of another length is not
    corrected.
    """
    corrected, notes = [dict(row) for row in rows], []
    wanted = [c for c in corrections if chosen.includes(c.name)]
    if wanted and len(rows) != published:
        return corrected, [f"The sheet has {len(rows)} rows, the published one {published}: no correction was applied."]
    for c in wanted:
        was = corrected[c.row][c.column]
        if was != c.value:
            notes.append(f"Correction {c.name}: {was or 'nothing'} -> {c.value} ({c.why}).")
            corrected[c.row][c.column] = c.value
    return corrected, notes


def folders_by_name(root: Path) -> dict[str, list[Path]]:
    """Return every folder below `root` that holds images, by its name in lower case."""
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.")
    found: dict[str, list[Path]] = {}
    for folder in sorted({path.parent for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES}):
        found.setdefault(folder.name.lower(), []).append(folder)
    return found


def clip_folder(found: Mapping[str, Sequence[Path]], name: str, subject: str) -> Path | None:
    """Return the clip's folder `name` inside the subject's.

    1, 01, s1 and sub01 are the same subject.

    Of several, as in a raw and a cropped release, it is the first in alphabetical order.
    """
    mine = (f for f in found.get(name.lower(), []) if digits(f.parent.name) == digits(subject))
    return next(mine, None)


def entries(rows: Iterable[Row], root: Path) -> Iterator[Entry]:
    """Yield the clips of `rows`, for a release with frames in folders SUBJECT/CLIP.

    The rows have subject, name, onset, apex, offset, aus and emotion.
    """
    found = folders_by_name(root)
    for row in rows:
        yield make_entry(row, row["subject"].zfill(2), clip_folder(found, row["name"], row["subject"]))


def make_entry(row: Row, subject: str, folder: Path | None, *, kind: str = "micro") -> Entry:
    """Return the clip of `row`.

    The row has name and aus, and onset, apex, offset and emotion where the sheet has them.
    """
    onset, apex, offset = (number(row.get(key, "")) for key in ("onset", "apex", "offset"))
    return Entry(subject, row["name"], folder, onset, apex, offset, row["aus"], row.get("emotion", ""), kind)


def digits(name: str) -> int | None:
    """Return the last number in `name`."""
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else None


def frames_in(folder: Path) -> dict[int, Path]:
    """Return the images of `folder` by the number in their names, in order."""
    numbered = {digits(p.stem): p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES}
    return {n: numbered[n] for n in sorted(n for n in numbered if n is not None)}


def gather(dataset: str, entries: Iterable[Entry], notes: Sequence[str] = ()) -> Release:
    """Return the entries that agree with their frames on disk.

    The release also says why the others are left out.
    """
    release, names = Release(dataset, notes=list(notes)), dict[str, int]()
    for entry in entries:
        key = f"{entry.subject}/{entry.name}"
        names[key] = names.get(key, 0) + 1
        if names[key] > 1:  # several expressions in one clip
            entry = replace(entry, name=f"{entry.name}_{names[key]}")
        checked = check_entry(dataset, entry)
        if isinstance(checked, str):
            release.skipped.append((f"{entry.subject}/{entry.name}", checked))
        else:
            release.samples.append(checked)
            if entry.apex is None:
                release.notes.append(f"{entry.subject}/{entry.name}: no apex annotated, the middle frame is used.")
    return release


def check_entry(dataset: str, entry: Entry) -> Sample | str:
    """Return the sample of `entry`, or why there is none."""
    if entry.folder is None:
        return "its frames are missing"
    frames = frames_in(entry.folder)
    if not frames:
        return "its folder holds no numbered frames"
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
