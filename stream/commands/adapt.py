"""`merau adapt`: labelled events, clips or picture pairs in, a head that names the taught classes out."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine import bundle as bundles
from merau.engine.errors import UserError
from merau.engine.few_shot import Sample
from merau.engine.recognizer import Recognizer
from merau.stream.align import Aligner, Crop
from merau.stream.faces import FaceTracker
from merau.stream.sources import File, Frame, SourceSettings
from merau.stream.store import read_labels

CLIPS = ("label", "file", "onset_s", "apex_s")  # the columns of a CSV of moments in clips
PICTURES = ("label", "onset", "apex")  # and of a CSV of picture pairs
BEFORE_S = 1.0  # the alignment gets to know the face this long before the first onset


@dataclass(frozen=True)
class Moment:
    """One row of a CSV: what is shown between two times of a clip; `line` is where it stands."""

    line: int
    label: str
    clip: Path
    onset_s: float
    apex_s: float


def read_samples(path: Path, recognizer: Recognizer) -> list[Sample]:
    """The labelled samples of a store, or of a CSV whose clips or pictures are run through faces, alignment and trunk.

    Raises UserError naming the row or file of what cannot be used.
    """
    if path.suffix.lower() != ".csv":
        return from_store(path, recognizer)
    rows = read_rows(path)
    if set(PICTURES) <= set(rows[0][1]):
        return [from_pictures(path, line, row, recognizer) for line, row in tqdm(rows, unit="pair", disable=None)]
    moments = sorted((moment(path, line, row) for line, row in rows), key=lambda m: (m.clip, m.line))
    clips = [list(group) for _, group in groupby(moments, key=lambda m: m.clip)]
    return [sample for group in tqdm(clips, unit="clip", disable=None) for sample in from_clip(group, recognizer)]


def once(samples: Iterable[Sample]) -> list[Sample]:
    """`samples` in their order, of those that are the same to the last bit, label and embedding, the first alone."""
    return list({(sample.label, sample.embedding.tobytes()): sample for sample in samples}.values())


def judge_of(paths: Sequence[Path]) -> Path | None:
    """The shipped bundle that judged most labelled events of the stores among `paths`; None where none did."""
    labels = (label for path in paths if path.suffix.lower() != ".csv" for label in read_labels(path))
    judges = Counter(label.bundle_sha256 for label in labels if label.embedding)
    return next((found for sha256, _ in judges.most_common() if (found := bundles.find_shipped(sha256))), None)


def from_store(path: Path, recognizer: Recognizer) -> list[Sample]:
    """Every labelled event that the recognizer's bundle has judged."""
    labels = read_labels(path)
    samples = [
        Sample(label.label, np.frombuffer(label.embedding, np.float32), label.probabilities, label.aus)
        for label in labels
        if label.embedding and label.probabilities and label.bundle_sha256 == recognizer.bundle.sha256
    ]
    if not samples:
        why = "none was judged by this bundle" if labels else "nobody has labelled an event there"
        raise UserError(f"{path} holds no sample to teach from: {why}.")
    return samples


def read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, skipinitialspace=True)
            names = [name.strip().lower() for name in table.fieldnames or ()]
            table.fieldnames = names
            rows = [(table.line_num, row) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}.") from error
    if not any(set(columns) <= set(names) for columns in (CLIPS, PICTURES)):
        raise UserError(f"The first line of {path} must name {','.join(CLIPS)} or {','.join(PICTURES)}.")
    if not rows:
        raise UserError(f"{path} holds no sample.")
    return rows


def moment(path: Path, line: int, row: dict[str, str]) -> Moment:
    """The row as a moment; files are relative to the CSV."""
    try:
        onset_s, apex_s = float(row["onset_s"]), float(row["apex_s"])
        if not 0 <= onset_s < apex_s:
            raise ValueError
    except (TypeError, ValueError):
        raise UserError(
            f"{path}, line {line}: onset_s and apex_s must be seconds, the onset before the apex."
        ) from None
    return Moment(line, named(path, line, row), path.parent / row["file"], onset_s, apex_s)


def named(path: Path, line: int, row: dict[str, str]) -> str:
    if not (label := (row["label"] or "").strip()):
        raise UserError(f"{path}, line {line}: the label is empty.")
    return label


def from_clip(moments: Sequence[Moment], recognizer: Recognizer) -> list[Sample]:
    """A sample of each moment, all of one clip, which is read once."""
    times_s = [t for m in moments for t in (m.onset_s, m.apex_s)]
    with File(str(moments[0].clip), SourceSettings()) as source:
        shown = (frame for frame in source if frame.t_s >= min(times_s) - BEFORE_S)
        crops = crops_at(until(shown, max(times_s) + 0.1), times_s)
    samples = []
    for m, onset, apex in zip(moments, crops[::2], crops[1::2], strict=True):
        samples.append(sample(m.label, onset, apex, recognizer, f"{m.clip}, {m.onset_s:g} to {m.apex_s:g} s"))
    return samples


def from_pictures(path: Path, line: int, row: dict[str, str], recognizer: Recognizer) -> Sample:
    """A sample of an onset and an apex picture of one face."""
    label, frames = named(path, line, row), []
    for i, name in enumerate(("onset", "apex")):
        file = path.parent / row[name]
        picture = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR) if file.is_file() else None
        if picture is None:
            raise UserError(f"{path}, line {line}: {file} is not a picture that can be read.")
        frames.append(Frame(picture, 0.1 * i, i, 0.0))
    onset, apex = crops_at(frames, [frame.t_s for frame in frames])
    return sample(label, onset, apex, recognizer, f"{path}, line {line}")


def until(frames: Iterable[Frame], end_s: float) -> Iterator[Frame]:
    for frame in frames:
        yield frame
        if frame.t_s > end_s:
            return


def crops_at(frames: Iterable[Frame], times_s: Sequence[float]) -> list[dict[int, Crop]]:
    """For each time the crops of the nearest frame, by track: faces and alignment as in the live path."""
    tracker, aligners = FaceTracker(), dict[int, Aligner]()
    wanted, nearest_s = np.array(times_s), np.full(len(times_s), np.inf)
    crops: list[dict[int, Crop]] = [{} for _ in times_s]
    for frame in frames:
        faces = [face for face in tracker.update(frame) if not face.quality.reason]
        seen = {face.track_id: aligners.setdefault(face.track_id, Aligner()).crop(frame, face) for face in faces}
        away_s = np.abs(wanted - frame.t_s)
        for i in np.flatnonzero(away_s < nearest_s):
            crops[i], nearest_s[i] = seen, away_s[i]
    return crops


def sample(label: str, onset: dict[int, Crop], apex: dict[int, Crop], recognizer: Recognizer, where: str) -> Sample:
    """The sample of the largest face that both moments show."""
    tracks = sorted(onset.keys() & apex.keys(), key=lambda track: abs(np.linalg.det(apex[track].matrix[:, :2])))
    if not tracks:
        raise UserError(f"No face can be made out at both onset and apex ({where}): leave this sample out.")
    return recognizer.predict(onset[tracks[0]].grey, apex[tracks[0]].grey).as_sample(label)
