"""The spotter's data set: aligned crops of rendered clips and of footage, each with its ground truth.

A folder of NAME.npz files: `t_s` (N,), `grey` (N, 180, 168) uint8, `matrix` (N, 2, 3), `landmarks` (N, 468, 2) float32,
and `about`, JSON with identity, motion_model, spans (as `clips` writes them) and whether all spans are known. Faces are
found and aligned once; training then only repeats what comes after.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from merau.engine.errors import UserError
from merau.stream.align import Crop
from merau.stream.pipeline import FaceStage, PipelineSettings
from merau.stream.sources import open_source
from merau.trainers.data.synth.clips import VIDEO_SUFFIXES, make_clip
from merau.trainers.spotting.plans import MODELS, draw_plan

STRETCH_S = 7.0  # footage is cut into stretches of this length


@dataclass(frozen=True)
class FaceClip:
    """The crops of one face, and what is known of them.

    Attributes:
        name: Name of its file.
        t_s: (N,) float64, seconds.
        grey: (N, 180, 168) uint8.
        matrix: (N, 2, 3) float64, maps frame px to full-crop px.
        landmarks: (N, 468, 2) float32, full-crop px.
        identity: Whose face it is.
        motion_model: How its skin moves; "footage" for real video.
        spans: The ground truth, each with kind, label, onset_s, apex_s, offset_s and peak_px.
        complete: Whether `spans` lists everything. Of footage it is only known that it shows no micro-expression.
    """

    name: str
    t_s: np.ndarray
    grey: np.ndarray
    matrix: np.ndarray
    landmarks: np.ndarray
    identity: str
    motion_model: str
    spans: tuple[dict[str, Any], ...]
    complete: bool

    @property
    def duration_s(self) -> float:
        """Time from the first to the last crop."""
        return float(self.t_s[-1] - self.t_s[0])

    def save(self, folder: Path) -> None:
        """Write the clip to `folder`."""
        about = {"identity": self.identity, "motion_model": self.motion_model, "complete": self.complete}
        text = json.dumps(about | {"spans": self.spans})
        file = folder / f"{self.name}.npz"
        np.savez(file, t_s=self.t_s, grey=self.grey, matrix=self.matrix, landmarks=self.landmarks, about=np.array(text))


def load_clip(path: Path) -> FaceClip:
    """Read a clip that `FaceClip.save` wrote."""
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
        about["spans"] = tuple(about["spans"])
        arrays = {name: file[name] for name in ("t_s", "grey", "matrix", "landmarks")}
    return FaceClip(path.stem, **arrays, **about)


def list_clips(folder: Path) -> list[Path]:
    """Return the files of a data set.

    Raises:
        UserError: There is none.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise UserError("{folder} holds no clips for the spotter: run 'merau-lab spot dataset' first.", folder=folder)
    return files


def make_dataset(out: Path, faces: Sequence[str], footage: Sequence[Path], count: int, seed: int) -> None:
    """Render `count` clips of the faces by every motion model in turn, and add stretches of the footage.

    Files that exist are kept, so that an interrupted run goes on.

    Args:
        out: Folder of the data set.
        faces: Pictures or videos with a face; FILE#2 is the third face from the left.
        footage: Videos of people who show no micro-expression.
        count: Number of rendered clips.
        seed: Seed of all random draws.
    """
    out.mkdir(parents=True, exist_ok=True)
    for i in tqdm(range(count), unit="clip", file=sys.stderr):
        model, face = MODELS[i % len(MODELS)], faces[(i // len(MODELS)) % len(faces)]
        if not (out / f"{model}-{seed + i}.npz").exists():
            _render(out, face, model, seed + i)
    for video in footage:
        for i, clip in enumerate(_stretches(video)):
            clip_file = out / f"footage-{video.stem}-{i}.npz"
            if not clip_file.exists():
                clip.save(out)


def _render(out: Path, face: str, model: str, seed: int) -> None:
    file, _, number = face.partition("#")
    source, rng = Path(file), np.random.default_rng(seed)
    plan = draw_plan(rng, model, int(number or 0))
    if source.suffix.lower() in VIDEO_SUFFIXES:
        raise UserError("{face} is a video: give a picture, or the video as footage.", face=face)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "clip.mp4"
        truth = make_clip(source, plan, video, seed)
        arrays = read_crops(video)
    if arrays is None:
        print(f"merau-lab: warning: clip {seed} of {face} was left out: its face is too poor.", file=sys.stderr)
        return
    name = f"{model}-{seed}"
    FaceClip(name, *arrays, f"{source.stem}#{number or 0}", model, tuple(truth["spans"]), complete=True).save(out)


def _stretches(video: Path) -> Iterator[FaceClip]:
    arrays = read_crops(video)
    if arrays is None:
        return
    times_s = arrays[0]
    for i, start_s in enumerate(np.arange(times_s[0], times_s[-1] - STRETCH_S / 2, STRETCH_S)):
        part = (times_s >= start_s) & (times_s < start_s + STRETCH_S)
        t_s, grey, matrix, landmarks = (array[part] for array in arrays)
        name = f"footage-{video.stem}-{i}"
        yield FaceClip(name, t_s - t_s[0], grey, matrix, landmarks, video.stem, "footage", (), complete=False)


def read_crops(video: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Return times, grey pictures, matrices and landmarks of the crops of a video's first face; None without a face."""
    crops: list[Crop] = []
    with open_source(str(video)) as source:
        stage = FaceStage(PipelineSettings())
        for frame in source:
            crops += [crop for crop in stage.process(frame).crops if crop.track_id == (crops or [crop])[0].track_id]
    if not crops:
        return None
    t_s = np.array([crop.t_s for crop in crops])
    grey, matrix, landmarks = (np.stack([getattr(c, name) for c in crops]) for name in ("grey", "matrix", "landmarks"))
    return t_s, grey, matrix, landmarks
