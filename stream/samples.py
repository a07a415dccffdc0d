"""Labelled samples for a few-shot head: from stores, and from CSV files of clips or picture pairs."""

import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.bounded import read_bounded
from merau.engine.bundle import find_shipped
from merau.engine.csv_table import CsvTable, is_csv, parse_decimal, read_csv
from merau.engine.errors import Message, UserError
from merau.engine.few_shot import Sample, label_key
from merau.engine.recognizer import Recognizer
from merau.engine.text import is_label
from merau.stream.align import Aligner, Crop
from merau.stream.faces import FaceTracker
from merau.stream.sources import File, Frame, SourceSettings
from merau.stream.sources.limits import MAX_PX
from merau.stream.store import Label, read_labels
from merau.stream.store.schema import is_store

CLIP_COLUMNS = ("label", "file", "onset_s", "apex_s")
PICTURE_COLUMNS = ("label", "onset", "apex")
WARM_UP_S = 1.0  # the alignment sees the face this long before the first onset
MAX_PICTURE_BYTES = 64_000_000
GAP_S = 0.1  # a frame that is further from a moment than this, plus the frame spacing, does not show it


@dataclass(frozen=True)
class ClipRow:
    """One row of a CSV of clips: an expression in a clip, and where the row stands, "FILE, line N"."""

    place: str
    label: str
    clip: Path
    onset_s: float
    apex_s: float


@dataclass
class LabelledSamples:
    """Samples, and what was assumed about the files that they are from."""

    samples: list[Sample] = field(default_factory=list)
    notes: list[Message] = field(default_factory=list)


@dataclass
class _Moment:
    """A moment of a clip: the time of the frame nearest to it, and that frame's crops by track."""

    wanted_s: float
    t_s: float = math.inf
    crops: dict[int, Crop] = field(default_factory=dict)


def read_samples(path: Path, recognizer: Recognizer) -> LabelledSamples:
    """Read the labelled samples of a store or a CSV.

    Clips and pictures of a CSV run through face tracking, alignment and the recognizer's trunk.

    Raises:
        UserError: A row or a file cannot be used; the message says which.
    """
    if not is_csv(path):
        return LabelledSamples(_samples_of_store(path, recognizer))
    table = read_csv(path)
    rows = _read_rows(table)
    if set(PICTURE_COLUMNS) <= set(table.header):
        pairs = tqdm(rows, unit="pair", disable=None)
        samples = [_sample_of_pictures(path, place, row, recognizer) for place, row in pairs]
        return LabelledSamples(samples, list(table.notes))
    by_clip: dict[Path, list[ClipRow]] = {}
    for row in _clip_rows(path, rows):
        by_clip.setdefault(row.clip, []).append(row)
    read = LabelledSamples(notes=list(table.notes))
    for clip in tqdm(sorted(by_clip), unit="clip", disable=None):
        _add_samples_of_clip(by_clip[clip], recognizer, read)
    return read


def deduplicate(samples: Iterable[Sample]) -> list[Sample]:
    """Return the samples in order, without those whose class and embedding occurred before."""
    first: dict[tuple[str, bytes], Sample] = {}
    for sample in samples:
        first.setdefault((label_key(sample.label), sample.embedding.tobytes()), sample)
    return list(first.values())


def most_used_bundle(paths: Sequence[Path]) -> Path | None:
    """Return the shipped bundle that classified most labelled events of the stores among `paths`; None for none."""
    labels = (label for path in paths if not is_csv(path) for label in _labels_of_store(path))
    uses = Counter(label.bundle_sha256 for label in labels if label.embedding)
    return next((found for sha256, _ in uses.most_common() if (found := find_shipped(sha256))), None)


def _labels_of_store(path: Path) -> list[Label]:
    if path.is_file() and not is_store(path):
        raise UserError("{path} is neither a CSV nor a store.", path=path)
    return read_labels(path)


def _samples_of_store(path: Path, recognizer: Recognizer) -> list[Sample]:
    """Return every labelled event that the recognizer's bundle classified."""
    labels = _labels_of_store(path)
    samples = [
        Sample(label.label, np.frombuffer(label.embedding, np.float32), label.probabilities, label.aus)
        for label in labels
        if label.embedding and label.is_sample(recognizer.bundle)
    ]
    if not samples and labels:
        raise UserError("{path} holds no usable sample: another bundle classified its labelled events.", path=path)
    if not samples:
        raise UserError("{path} holds no sample: none of its events is labelled.", path=path)
    return samples


def _read_rows(table: CsvTable) -> list[tuple[str, dict[str, str]]]:
    """Return the place, "FILE, line N", and the cells of each row; all have a label."""
    required = next((names for names in (PICTURE_COLUMNS, CLIP_COLUMNS) if set(names) <= set(table.header)), None)
    if not required:
        raise UserError(
            "The first line of {path} must name {clips} or {pictures}.",
            path=table.path,
            clips=",".join(CLIP_COLUMNS),
            pictures=",".join(PICTURE_COLUMNS),
        )
    rows = [(f"{table.path}, line {line}", row) for line, row in table.rows(required, verbatim="label")]
    if not rows:
        raise UserError("{path} holds no sample.", path=table.path)
    for place, row in rows:
        if empty := [name for name in required if not row[name].strip()]:
            raise UserError("{place}: the {column} is empty.", place=place, column=empty[0])
        if not is_label(row["label"].strip()):
            raise UserError("{place}: a class needs a name of 1 to 40 characters, on one line.", place=place)
    return rows


def _clip_rows(path: Path, rows: Sequence[tuple[str, dict[str, str]]]) -> list[ClipRow]:
    """Parse rows; files are relative to the CSV at `path`.

    A point in one time and a comma in another may be a separator of thousands in either, so one of the two is refused.
    """
    parsed, marks = [], set[str]()
    for place, row in rows:
        texts = row["onset_s"], row["apex_s"]
        marks |= {mark for mark in ".," if mark in "".join(texts)}
        if len(marks) > 1:
            raise UserError("{place}: write all times with a decimal point, or all with a decimal comma.", place=place)
        onset_s, apex_s = (_parse_seconds(place, row, name) for name in ("onset_s", "apex_s"))
        if not 0 <= onset_s < apex_s:
            raise UserError(
                "{place}: the onset must come before the apex, but onset_s is {onset} and apex_s is {apex}.",
                place=place,
                onset=texts[0],
                apex=texts[1],
            )
        parsed.append(ClipRow(place, row["label"], _find_file(path, row["file"]), onset_s, apex_s))
    return parsed


def _parse_seconds(place: str, row: dict[str, str], name: str) -> float:
    """Return the time in the column `name` of a row."""
    try:
        return parse_decimal(row[name])
    except ValueError:
        raise UserError(
            "{place}: {name} is '{text}': write seconds, as 5.4, not 0:05.4.", place=place, name=name, text=row[name]
        ) from None


def _find_file(path: Path, name: str) -> Path:
    """Return the file that a row of the CSV at `path` names; Windows separates folders by backslashes."""
    file = path.parent / name
    return file if file.exists() else path.parent / name.replace("\\", "/")


def _add_samples_of_clip(rows: Sequence[ClipRow], recognizer: Recognizer, read: LabelledSamples) -> None:
    """Add a sample for each row, and what is odd about the clip; all are of one clip, which is read once."""
    wanted_s = [t for row in rows for t in (row.onset_s, row.apex_s)]
    seen_s: list[float] = []
    try:
        with File(str(rows[0].clip), SourceSettings()) as source:
            moments = _find_moments(_frames_around(source, wanted_s, seen_s), wanted_s)
            read.notes += source.state().notes
    except UserError as error:
        raise UserError("{place}: {reason}", place=rows[0].place, reason=error.message) from error
    for row, onset, apex in zip(rows, moments[::2], moments[1::2], strict=True):
        for moment in (onset, apex):
            _check_moment(moment, row, seen_s)
        if onset.t_s == apex.t_s:
            raise UserError(
                "{place}: onset and apex are the same frame, at {t} s.", place=row.place, t=f"{onset.t_s:.3f}"
            )
        read.samples.append(_sample(row.label, onset.crops, apex.crops, recognizer, row.place))


def _check_moment(moment: _Moment, row: ClipRow, seen_s: Sequence[float]) -> None:
    """Raise UserError where the clip, whose frames came at `seen_s`, shows nothing at the moment."""
    spacing_s = float(np.median(np.diff(seen_s))) if len(seen_s) > 1 else 0.0
    end_s = seen_s[-1] + spacing_s
    if moment.wanted_s > end_s + 1e-3:
        raise UserError(
            "{place}: {t} s lies beyond the end of {clip}, which is {end} s long.",
            place=row.place,
            t=f"{moment.wanted_s:g}",
            clip=row.clip,
            end=f"{end_s:.2f}",
        )
    if abs(moment.t_s - moment.wanted_s) > spacing_s + GAP_S:
        raise UserError("{place}: {clip} has no frame at {t} s.", place=row.place, clip=row.clip, t=moment.wanted_s)


def _sample_of_pictures(path: Path, place: str, row: dict[str, str], recognizer: Recognizer) -> Sample:
    """Return the sample of an onset and an apex picture of one face."""
    first, last = (_read_picture(_find_file(path, row[name]), place) for name in ("onset", "apex"))
    if np.array_equal(first, last):
        raise UserError("{place}: onset and apex are the same picture.", place=place)
    frames = [Frame(picture, 0.1 * i, i, 0.0) for i, picture in enumerate((first, last))]
    onset, apex = _find_moments(frames, [frame.t_s for frame in frames])
    return _sample(row["label"], onset.crops, apex.crops, recognizer, place)


def _decode_picture(file: Path) -> np.ndarray | None:
    """Return a picture; None for what is none, or is larger than a frame of a recording may be."""
    from PIL import Image

    try:
        data = read_bounded(file, MAX_PICTURE_BYTES)
        with Image.open(io.BytesIO(data)) as header:  # before some kB become gigabytes
            if header.width * header.height > MAX_PX:
                return None
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else np.asarray(picture)


def _read_picture(file: Path, place: str) -> np.ndarray:
    picture = _decode_picture(file)
    if picture is None and re.fullmatch("[0-9.,:]+", file.name):
        raise UserError(
            "{place}: {text} is a time, not a picture: for moments in clips name the columns onset_s and apex_s.",
            place=place,
            text=file.name,
        )
    if picture is None:
        raise UserError(
            "{place}: {file} is not a picture of at most 8192 x 4352 pixels that can be read.", place=place, file=file
        )
    return np.asarray(picture)


def _frames_around(source: Iterable[Frame], wanted_s: Sequence[float], seen_s: list[float]) -> Iterator[Frame]:
    """Yield the frames from shortly before the first moment to shortly after the last; add all times to `seen_s`."""
    for frame in source:
        seen_s.append(frame.t_s)
        if frame.t_s >= min(wanted_s) - WARM_UP_S:
            yield frame
        if frame.t_s > max(wanted_s) + GAP_S:
            return


def _find_moments(frames: Iterable[Frame], wanted_s: Sequence[float]) -> list[_Moment]:
    """Return the frame nearest to each time, with its crops."""
    tracker, aligners = FaceTracker(), dict[int, Aligner]()
    moments = [_Moment(t_s) for t_s in wanted_s]
    for frame in frames:
        faces = [face for face in tracker.update(frame) if not face.quality.reason]
        crops = {face.track_id: aligners.setdefault(face.track_id, Aligner()).crop(frame, face) for face in faces}
        for moment in moments:
            if abs(moment.wanted_s - frame.t_s) < abs(moment.wanted_s - moment.t_s):
                moment.t_s, moment.crops = frame.t_s, crops
    return moments


def _sample(label: str, onset: dict[int, Crop], apex: dict[int, Crop], recognizer: Recognizer, place: str) -> Sample:
    """Return the sample of the largest face that is found at both onset and apex."""
    tracks = sorted(onset.keys() & apex.keys(), key=lambda track: abs(np.linalg.det(apex[track].matrix[:, :2])))
    if not tracks:
        raise UserError("No face is found at both onset and apex ({place}): remove this sample.", place=place)
    return recognizer.predict(onset[tracks[0]].grey, apex[tracks[0]].grey).as_sample(label)
