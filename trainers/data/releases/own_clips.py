"""Clips of one's own, by a CSV: video files or folders of numbered frames, with onset and apex.

Columns: `clip` (path of a video or of a folder, relative to the CSV), `subject`, `onset` and `apex`; `offset`,
`emotion`, `aus`, `sample` and `dataset` where known. Onset, apex and offset are frame numbers: those in the file names
of a folder; in a video the first frame is 0. Columns `onset_s`, `apex_s`, `offset_s` give seconds instead, from the
first frame of a video.
"""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from merau.engine.csv_table import parse_decimal, read_csv
from merau.engine.errors import UserError
from merau.trainers.data import facs
from merau.trainers.data.emotions import coarse, emotion
from merau.trainers.data.releases.release import Corrections, Entry, Release, Sample, VideoFrame, check_entry, number

REQUIRED = ("clip", "subject")
MOMENTS = ("onset", "apex", "offset")
Row = dict[str, str]


def load(table: Path, corrections: Corrections) -> Release:
    """Load the clips that the CSV `table` lists; those that cannot be used are named with the reason.

    Raises:
        UserError: The table cannot be read, or lacks a column.
    """
    content = read_csv(table)
    header = content.header
    missing = [name for name in REQUIRED if name not in header]
    missing += [f"{name} or {name}_s" for name in MOMENTS[:2] if not {name, f"{name}_s"} & set(header)]
    if missing:
        raise UserError(f"{table} lacks the column {', '.join(missing)}: see `prepare csv` in the documentation.")
    release = Release(table.stem)
    names: dict[tuple[str, str], int] = {}
    for line, row in content.rows(REQUIRED):
        clip = Path(row["clip"])
        name = row.get("sample") or clip.stem
        names[row["subject"], name] = names.get((row["subject"], name), 0) + 1
        if names[row["subject"], name] > 1:
            name = f"{name}_{names[row['subject'], name]}"
        sample = make_sample(row, release.dataset, name, table.parent / clip)
        if isinstance(sample, str):
            release.skipped.append((f"line {line}, {row['subject']}/{name}", sample))
        else:
            release.samples.append(sample)
    return release


def make_sample(row: Row, dataset: str, name: str, clip: Path) -> Sample | str:
    """Return the sample of `row`, or why there is none."""
    dataset = row.get("dataset") or dataset
    if not row["subject"]:
        return "it has no subject"
    if error := facs.find_error(row.get("aus", "")):
        return f"its Action Units are wrong: {error}"
    if clip.is_dir():
        return folder_sample(row, dataset, name, clip)
    return video_sample(row, dataset, name, clip) if clip.is_file() else f"there is no {clip}"


def folder_sample(row: Row, dataset: str, name: str, folder: Path) -> Sample | str:
    """Return the sample of a folder of numbered frames, or why there is none."""
    onset, apex, offset = (number(row.get(moment, "")) for moment in MOMENTS)
    if onset is None or apex is None:
        return "it needs onset and apex as frame numbers"
    codes = row.get("aus", ""), row.get("emotion", "")
    entry = Entry(row["subject"], name, folder, onset, apex, offset, *codes)
    return check_entry(dataset, entry)


def video_sample(row: Row, dataset: str, name: str, video: Path) -> Sample | str:
    """Return the sample of a video, or why there is none."""
    try:
        times_s = frame_times(video)
    except (av.FFmpegError, OSError, IndexError) as error:
        return f"{video.name} cannot be read as a video: {error}"
    if len(times_s) < 2:
        return f"{video.name} has fewer than two frames"
    try:
        onset, apex, offset = (moment(row, name_, times_s) for name_ in MOMENTS)
    except ValueError as error:
        return f"{error.args[0]!r} is no moment"
    if onset is None or apex is None:
        return "it needs onset and apex"
    offset = len(times_s) - 1 if offset is None else offset
    if not 0 <= onset < apex <= offset < len(times_s):
        return f"onset {onset}, apex {apex}, offset {offset} are not in this order within {len(times_s)} frames"
    kind = emotion(row.get("emotion", ""))
    frames = tuple(VideoFrame(video, i) for i in range(onset, offset + 1))
    duration_s = float(times_s[offset] - times_s[onset]) if row.get("offset") or row.get("offset_s") else None
    label = coarse(kind)
    return Sample(
        dataset, row["subject"], name, frames, apex - onset, row.get("aus", ""), kind, label, "micro", duration_s
    )


def moment(row: Row, name: str, times_s: np.ndarray) -> int | None:
    """Return the frame of `name` in `row`; None where it is not given. Raises ValueError where it is no number."""
    if seconds := row.get(f"{name}_s"):
        return int(np.abs(times_s - times_s[0] - parse_decimal(seconds)).argmin())
    text = row.get(name)
    return round(parse_decimal(text)) if text else None


def frame_times(video: Path) -> np.ndarray:
    """Return the time of every frame of `video` in seconds, (T,)."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 25)
        times = [frame.time for frame in container.decode(stream)]
    return np.array([i / rate if t is None else t for i, t in enumerate(times)])


def decode(wanted: Sequence[VideoFrame]) -> dict[VideoFrame, np.ndarray]:
    """Return the frames `wanted` as (H, W, 3) uint8 BGR; those that a video lacks are missing."""
    found = {}
    for path in {frame.path for frame in wanted}:
        numbers = {frame.number for frame in wanted if frame.path == path}
        with av.open(str(path)) as container:
            for i, frame in enumerate(container.decode(video=0)):
                if i in numbers:
                    found[VideoFrame(path, i)] = frame.to_ndarray(format="bgr24")
                if i >= max(numbers):
                    break
    return found
