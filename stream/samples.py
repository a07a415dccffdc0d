"""Labelled samples for a few-shot head: from stores, and from CSV files of clips or picture pairs."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.bundle import find_shipped
from merau.engine.errors import UserError
from merau.engine.few_shot import Sample
from merau.engine.recognizer import Recognizer
from merau.stream.align import Aligner, Crop
from merau.stream.faces import FaceTracker
from merau.stream.sources import File, Frame, SourceSettings
from merau.stream.store import read_labels

CLIP_COLUMNS = ("label", "file", "onset_s", "apex_s")
PICTURE_COLUMNS = ("label", "onset", "apex")
WARM_UP_S = 1.0  # the alignment sees the face this long before the first onset


@dataclass(frozen=True)
class ClipRow:
    """One row of a CSV of clips: an expression in a clip, and the row's line number."""

    line: int
    label: str
    clip: Path
    onset_s: float
    apex_s: float


def read_samples(path: Path, recognizer: Recognizer) -> list[Sample]:
    """Read the labelled samples of a store or a CSV.

    Clips and pictures of a CSV run through face tracking, alignment and the recognizer's trunk.

    Raises:
        UserError: A row or a file cannot be used; the message says which.
    """
    if path.suffix.lower() != ".csv":
        return _samples_of_store(path, recognizer)
    rows = _read_rows(path)
    if set(PICTURE_COLUMNS) <= set(rows[0][1]):
        return [_sample_of_pictures(path, line, row, recognizer) for line, row in tqdm(rows, unit="pair", disable=None)]
    clip_rows = sorted((_clip_row(path, line, row) for line, row in rows), key=lambda row: (row.clip, row.line))
    by_clip = [list(group) for _, group in groupby(clip_rows, key=lambda row: row.clip)]
    return [s for group in tqdm(by_clip, unit="clip", disable=None) for s in _samples_of_clip(group, recognizer)]


def deduplicate(samples: Iterable[Sample]) -> list[Sample]:
    """Return the samples in order, without those whose label and embedding occurred before."""
    return list({(sample.label, sample.embedding.tobytes()): sample for sample in samples}.values())


def most_used_bundle(paths: Sequence[Path]) -> Path | None:
    """Return the shipped bundle that classified most labelled events of the stores among `paths`; None for none."""
    labels = (label for path in paths if path.suffix.lower() != ".csv" for label in read_labels(path))
    uses = Counter(label.bundle_sha256 for label in labels if label.embedding)
    return next((found for sha256, _ in uses.most_common() if (found := find_shipped(sha256))), None)


def _samples_of_store(path: Path, recognizer: Recognizer) -> list[Sample]:
    """Return every labelled event that the recognizer's bundle classified."""
    labels = read_labels(path)
    samples = [
        Sample(label.label, np.frombuffer(label.embedding, np.float32), label.probabilities, label.aus)
        for label in labels
        if label.embedding and label.probabilities and label.bundle_sha256 == recognizer.bundle.sha256
    ]
    if not samples and labels:
        raise UserError("{path} holds no usable sample: another bundle classified its labelled events.", path=path)
    if not samples:
        raise UserError("{path} holds no sample: none of its events is labelled.", path=path)
    return samples


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return line number and cells of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, skipinitialspace=True)
            names = [name.strip().lower() for name in table.fieldnames or ()]
            table.fieldnames = names
            rows = [(table.line_num, row) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError("{path} cannot be read as CSV: {reason}.", path=path, reason=error) from error
    if not any(set(columns) <= set(names) for columns in (CLIP_COLUMNS, PICTURE_COLUMNS)):
        raise UserError(
            "The first line of {path} must name {clips} or {pictures}.",
            path=path,
            clips=",".join(CLIP_COLUMNS),
            pictures=",".join(PICTURE_COLUMNS),
        )
    if not rows:
        raise UserError("{path} holds no sample.", path=path)
    return rows


def _clip_row(path: Path, line: int, row: dict[str, str]) -> ClipRow:
    """Parse a row; files are relative to the CSV."""
    try:
        onset_s, apex_s = float(row["onset_s"]), float(row["apex_s"])
        if not 0 <= onset_s < apex_s:
            raise ValueError
    except (TypeError, ValueError):
        raise UserError(
            "{path}, line {line}: onset_s and apex_s must be seconds, the onset before the apex.", path=path, line=line
        ) from None
    return ClipRow(line, _read_label(path, line, row), path.parent / row["file"], onset_s, apex_s)


def _read_label(path: Path, line: int, row: dict[str, str]) -> str:
    if not (label := (row["label"] or "").strip()):
        raise UserError("{path}, line {line}: the label is empty.", path=path, line=line)
    return label


def _samples_of_clip(rows: Sequence[ClipRow], recognizer: Recognizer) -> list[Sample]:
    """Return a sample for each row; all are of one clip, which is read once."""
    times_s = [t for row in rows for t in (row.onset_s, row.apex_s)]
    with File(str(rows[0].clip), SourceSettings()) as source:
        frames = (frame for frame in source if frame.t_s >= min(times_s) - WARM_UP_S)
        crops = _crops_at(_take_until(frames, max(times_s) + 0.1), times_s)
    samples = []
    for row, onset, apex in zip(rows, crops[::2], crops[1::2], strict=True):
        place = f"{row.clip}, {row.onset_s:g} to {row.apex_s:g} s"
        samples.append(_sample(row.label, onset, apex, recognizer, place))
    return samples


def _sample_of_pictures(path: Path, line: int, row: dict[str, str], recognizer: Recognizer) -> Sample:
    """Return the sample of an onset and an apex picture of one face."""
    label, frames = _read_label(path, line, row), []
    for i, name in enumerate(("onset", "apex")):
        file = path.parent / row[name]
        picture = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR) if file.is_file() else None
        if picture is None:
            raise UserError(
                "{path}, line {line}: {file} is not a picture that can be read.", path=path, line=line, file=file
            )
        frames.append(Frame(picture, 0.1 * i, i, 0.0))
    onset, apex = _crops_at(frames, [frame.t_s for frame in frames])
    return _sample(label, onset, apex, recognizer, f"{path}, line {line}")


def _take_until(frames: Iterable[Frame], end_s: float) -> Iterator[Frame]:
    for frame in frames:
        yield frame
        if frame.t_s > end_s:
            return


def _crops_at(frames: Iterable[Frame], times_s: Sequence[float]) -> list[dict[int, Crop]]:
    """Return the crops of the frame nearest to each time, by track."""
    tracker, aligners = FaceTracker(), dict[int, Aligner]()
    wanted, nearest_s = np.array(times_s), np.full(len(times_s), np.inf)
    crops: list[dict[int, Crop]] = [{} for _ in times_s]
    for frame in frames:
        faces = [face for face in tracker.update(frame) if not face.quality.reason]
        found = {face.track_id: aligners.setdefault(face.track_id, Aligner()).crop(frame, face) for face in faces}
        distance_s = np.abs(wanted - frame.t_s)
        for i in np.flatnonzero(distance_s < nearest_s):
            crops[i], nearest_s[i] = found, distance_s[i]
    return crops


def _sample(label: str, onset: dict[int, Crop], apex: dict[int, Crop], recognizer: Recognizer, place: str) -> Sample:
    """Return the sample of the largest face that is found at both onset and apex."""
    tracks = sorted(onset.keys() & apex.keys(), key=lambda track: abs(np.linalg.det(apex[track].matrix[:, :2])))
    if not tracks:
        raise UserError("No face is found at both onset and apex ({place}): remove this sample.", place=place)
    return recognizer.predict(onset[tracks[0]].grey, apex[tracks[0]].grey).as_sample(label)
