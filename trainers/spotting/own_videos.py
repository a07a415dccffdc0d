"""Videos with ground truth as clips of the spotter: those that `synth clips` renders, or one's own with a table."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from merau.engine.errors import UserError
from merau.trainers.data.synth.clips import VIDEO_SUFFIXES
from merau.trainers.evaluate.intervals import Interval, read_intervals
from merau.trainers.spotting.dataset import FaceClip, read_crops

Truth = tuple[str, tuple[dict[str, Any], ...]]  # whose face it is, and what it shows


def read_videos(folder: Path, table: Path | None) -> list[FaceClip]:
    """Return the crops of every video in `folder` with what it shows.

    Args:
        folder: Videos, each with NAME.truth.json beside it, or named in the table by their file's name, suffix or not.
        table: CSV with subject, video, kind, onset and offset in frames; None for the files beside.

    Raises:
        UserError: There is no video, or one has no ground truth.
    """
    videos = sorted(path for path in folder.glob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise UserError("{folder} holds no clips of 'merau-lab spot dataset', and no videos.", folder=folder)
    intervals = read_intervals(table) if table else None
    clips = []
    for video in tqdm(videos, desc="aligning", unit="video", leave=False, disable=None, file=sys.stderr):
        arrays = read_crops(video)
        if arrays is None:
            print(f"merau-lab: warning: {video} was left out: its face is too poor.", file=sys.stderr)
            continue
        subject, spans = from_file(video) if intervals is None else from_table(video, intervals, arrays[0])
        clips.append(FaceClip(video.stem, *arrays, subject, "video", spans, complete=True))
    return clips


def from_file(video: Path) -> Truth:
    """Read the ground truth beside a video; each of these is a subject of its own."""
    path = video.with_suffix(".truth.json")
    try:
        return video.stem, tuple(json.loads(path.read_text(encoding="utf-8"))["spans"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            "{path} cannot be read: give the true intervals of {video} by --truth.", path=path, video=video.name
        ) from error


def from_table(video: Path, intervals: Sequence[Interval], t_s: np.ndarray) -> Truth:
    """Take the intervals of a video; a frame number beyond its crops is that of the last one."""
    mine = [interval for interval in intervals if interval.video in (video.name, video.stem)]
    if not mine:
        raise UserError("The table has no interval in the video {video}.", video=video.name)

    def seconds(frame: float) -> float:
        return float(t_s[min(max(round(frame), 0), len(t_s) - 1)])

    spans = tuple(
        {
            "kind": one.kind,
            "label": one.label,
            "onset_s": seconds(one.onset),
            "apex_s": seconds((one.onset + one.offset) / 2),
            "offset_s": seconds(one.offset),
        }
        for one in mine
    )
    return mine[0].subject, spans
