"""What the loaders of releases share.

They read sheets, validate samples, and note all that is left out or corrected.

A loader says where its sheet is, what its columns mean and where a clip's frames are; `gather` checks each clip against
the frames on disk.
"""

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from python_calamine import CalamineError, CalamineWorkbook

from merau.engine.csv_table import parse_decimal
from merau.engine.errors import UserError
from merau.trainers.data import facs
from merau.trainers.data.emotions import coarse, emotion
from merau.trainers.data.flow_set import MICRO_S
from merau.trainers.data.releases.workbook import cells_without_value

NOT_ANNOTATED = ("", "/", "-", "-1", "?", "n/a", "na", "nan")  # how sheets leave an apex open
FRAME = re.compile(r"\d+(?:\.\d*)?|\d+,\d{0,2}|\d{4,},\d+", re.ASCII)  # "1,234" may be a thousand or one
DATE = "Excel's date "  # what a cell that Excel took for a date or a time reads as
NO_VALUE = "an error, or a formula without a value,"
MEANINGS = {"subject": "subject", "name": "name", "aus": "Action Units"}
PASSED_OVER = ("__macosx", "@eadir")  # folders of copies that macOS and network drives add
IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png"}
Row = dict[str, str]


@dataclass(frozen=True)
class Correction:
    """A cell of a published sheet that is known to be wrong.

    It has the right value and its source; `row` counts from 0. One `if_unusable` applies only where the cell holds no
    frame number, because another edition of the sheet has good values.
    """

    row: int
    column: str
    value: str
    why: str
    if_unusable: bool = False

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

    Attributes:
        error: Why the row of the sheet cannot be used, or "".
        written: The subject as the sheet writes it.
        rate_hz: Frames per second, None where unknown.
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
    error: str = ""
    written: str = ""
    rate_hz: float | None = None


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a video file: the `number`-th that is decoded, from 0."""

    path: Path
    number: int

    @property
    def stem(self) -> str:
        """The number as text, like that of an image's file."""
        return str(self.number)


@dataclass(frozen=True)
class Sample:
    """A clip that can be used.

    Attributes:
        dataset: Name of the data set.
        subject: Name of the subject.
        name: Name of the clip.
        frames: The frames from onset to offset, images or frames of a video.
        apex: Index into `frames`.
        aus: Codes like "4+L10".
        emotion: Emotion in one spelling.
        label: negative, positive, surprise or None.
        kind: micro or macro.
        duration_s: From onset to offset, None where unknown.
    """

    dataset: str
    subject: str
    name: str
    frames: tuple[Path | VideoFrame, ...]
    apex: int
    aus: str
    emotion: str
    label: str | None
    kind: str
    duration_s: float | None = None


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
    """Return the data rows of a sheet, by our column names, each with its number in `row`.

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
    name = sheet or book.sheet_names[0]
    lines = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    for i, j in cells_without_value(path, name):
        if i < len(lines) and j < len(lines[i]):
            lines[i][j] = NO_VALUE
    lines = lines[skip:]
    has_header = any(isinstance(where, str) for where in columns.values())
    header = [normalize_header(cell) for cell in lines[0]] if has_header and lines else []
    at = {name: column_index(where, header, path) for name, where in columns.items()}
    first = 1 + skip + has_header
    rows = [
        (number, {name: cell_text(line[i]) if i < len(line) else "" for name, i in at.items()})
        for number, line in enumerate(lines[has_header:], start=first)
    ]
    return [row | {"row": str(number)} for number, row in rows if any(row.values())]


def find(root: Path, patterns: Sequence[str]) -> Path:
    """Return the first file below `root` of the first pattern that matches."""
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.")
    for pattern in patterns:
        if found := files(root, pattern):
            return found[0]
    raise UserError(f"{root} holds no sheet {' or '.join(patterns)}: is this the release's folder?")


def files(root: Path, pattern: str) -> list[Path]:
    """Return what matches below `root`, in order; hidden files, lock files and copies of macOS are passed over."""
    return sorted(path for path in root.rglob(pattern) if not is_passed_over(path.relative_to(root)))


def is_passed_over(path: Path) -> bool:
    """Return whether `path` is no part of a release: macOS writes `._NAME` beside each file, Excel `~$NAME`."""
    return any(part.startswith((".", "~")) or part.lower() in PASSED_OVER for part in path.parts)


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
    """Return a cell as text, whole numbers without a fraction; a date or a time begins with DATE."""
    if isinstance(cell, datetime.date | datetime.time | datetime.timedelta):
        return f"{DATE}{cell}"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def number(cell: str) -> int | None:
    """Return a frame number, rounded.

    None for anything else ("/", "57?", "ca. 46", empty, below 0).
    """
    return round(parse_decimal(cell)) if FRAME.fullmatch(cell) else None


def correct(
    rows: Sequence[Row], corrections: Sequence[Correction], chosen: Corrections, *, published: int
) -> tuple[list[Row], list[str]]:
    """Apply the `chosen` corrections to `rows`.

    Return the rows, and a sentence for each correction.

    Corrections refer to rows of the sheet as published, which has `published` rows; a sheet of another length is not
    corrected.
    """
    corrected, notes, kept = [dict(row) for row in rows], list[str](), list[str]()
    wanted = [c for c in corrections if chosen.includes(c.name)]
    if wanted and len(rows) != published:
        return corrected, [f"The sheet has {len(rows)} rows, the published one {published}: no correction was applied."]
    for c in wanted:
        was = corrected[c.row][c.column]
        if was == c.value:
            continue
        if c.if_unusable and number(was) is not None:
            kept.append(f"{c.name} ({was})")
            continue
        notes.append(f"Correction {c.name}: {was or 'nothing'} -> {c.value} ({c.why}).")
        corrected[c.row][c.column] = c.value
    if kept:
        notes.append(
            f"Corrections that this sheet does not need or that do not fit it, not applied: {', '.join(kept)}."
        )
    return corrected, notes


def folders_by_name(root: Path) -> dict[str, list[Path]]:
    """Return every folder below `root` that holds images, by its name in lower case."""
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.")
    found: dict[str, list[Path]] = {}
    for folder in sorted({path.parent for path in files(root, "*") if path.suffix.lower() in IMAGE_SUFFIXES}):
        found.setdefault(folder.name.lower(), []).append(folder)
    return found


def clip_folder(found: Mapping[str, Sequence[Path]], name: str, subject: str) -> Path | None:
    """Return the clip's folder `name` inside the subject's.

    1, 01, s1 and sub01 are the same subject.

    Of several, as in a raw and a cropped release, it is the first in alphabetical order.
    """
    mine = (f for f in found.get(name.lower(), []) if digits(f.parent.name) == digits(subject))
    return next(mine, None)


def entries(
    rows: Iterable[Row], root: Path, *, subject: str = "{:02d}", rate_hz: float | None = None
) -> Iterator[Entry]:
    """Yield the clips of `rows`, for a release with frames in folders SUBJECT/CLIP.

    The rows have subject, name, onset, apex, offset, aus and emotion; `subject` is how a subject's number is written.
    """
    found = folders_by_name(root)
    for row in rows:
        who = subject_name(row["subject"], subject)
        yield make_entry(row, who, clip_folder(found, row["name"], who), rate_hz=rate_hz)


def make_entry(
    row: Row, subject: str, folder: Path | None, *, kind: str = "micro", rate_hz: float | None = None
) -> Entry:
    """Return the clip of `row`.

    The row has row, name, aus, onset and offset, and subject, apex and emotion where the sheet has them.
    """
    onset, apex, offset = (number(row.get(key, "")) for key in ("onset", "apex", "offset"))
    name, emotion_name, written = row["name"], row.get("emotion", ""), row.get("subject", subject)
    error = find_error(row)
    return Entry(subject, name, folder, onset, apex, offset, row["aus"], emotion_name, kind, error, written, rate_hz)


def find_error(row: Row) -> str:
    """Return why a row of a sheet cannot be used, or ""."""
    for key, cell in row.items():
        if cell.startswith((DATE, NO_VALUE)):
            return f"row {row['row']} of the sheet holds {cell} as its {MEANINGS.get(key, key)}"
    for key in ("subject", "name"):
        if not row.get(key, "given"):
            return f"row {row['row']} of the sheet has no {MEANINGS[key]}"
    for key in ("onset", "offset", "apex"):
        cell = row.get(key, "")
        if number(cell) is None and not (key == "apex" and cell.lower() in NOT_ANNOTATED):
            return f"its {key} is {cell!r}, which is no frame number" if cell else f"it has no {key}"
    return ""


def subject_name(cell: str, form: str) -> str:
    """Return a subject's name by its number, so that 1, 01, sub01 and "Sub1 " are one: `form` is "{:02d}" or alike."""
    who = digits(re.sub(r"[.,]0+$", "", cell))
    return cell if who is None else form.format(who)


def digits(name: str) -> int | None:
    """Return the last number in `name`."""
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else None


def frames_in(folder: Path) -> dict[int, Path]:
    """Return the images of `folder` by the number in their names, in order."""
    images = (path for path in folder.iterdir() if not is_passed_over(Path(path.name)))
    numbered = {digits(path.stem): path for path in images if path.suffix.lower() in IMAGE_SUFFIXES}
    return {n: numbered[n] for n in sorted(n for n in numbered if n is not None)}


def gather(dataset: str, entries: Iterable[Entry], notes: Sequence[str] = ()) -> Release:
    """Return the entries that agree with their frames on disk.

    The release also says why the others are left out.
    """
    release, names = Release(dataset, notes=list(notes)), dict[str, int]()
    written: dict[str, dict[str, None]] = {}  # spellings of each subject, in order
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
        written.setdefault(entry.subject, {})[entry.written or entry.subject] = None
    for subject, spellings in written.items():
        if len(spellings) > 1:
            release.notes.append(f"Subject {subject} is one person, written {', '.join(spellings)}.")
    release.notes += note_long(release)
    return release


def note_long(release: Release) -> list[str]:
    """Say how micro-expressions that last too long by the definition are treated."""
    known = [s.duration_s for s in release.samples if s.kind == "micro" and s.duration_s is not None]
    long = sum(duration_s > MICRO_S for duration_s in known)
    treated = "they stay micro-expressions, as coded, and are measured from onset to apex"
    return [f"{long} of {len(known)} micro-expressions last longer than {MICRO_S} s: {treated}."] if long else []


def check_entry(dataset: str, entry: Entry) -> Sample | str:
    """Return the sample of `entry`, or why there is none."""
    if entry.error:
        return entry.error
    if error := facs.find_error(entry.aus):
        return f"its Action Units are wrong: {error}"
    if entry.folder is None:
        return "its frames are missing"
    frames = frames_in(entry.folder)
    if not frames:
        return "its folder holds no numbered frames"
    onset, offset = entry.onset, entry.offset
    onset = min(frames) if onset is None else onset
    offset = max(frames) if offset is None else offset
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
    apex_at, duration_s = max(nearest, 1), (offset - onset) / entry.rate_hz if entry.rate_hz else None
    who, label = (dataset, entry.subject, entry.name), coarse(name)
    return Sample(*who, paths, apex_at, entry.aus, name, label, entry.kind, duration_s)
