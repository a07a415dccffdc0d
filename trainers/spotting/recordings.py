"""Record every clip of a data set as it is, and footage with expressions painted into its flow as well."""

import sys
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from merau.trainers.data.synth.action_units import field
from merau.trainers.data.synth.clips import person_bumps
from merau.trainers.data.synth.timelines import Action, action_units
from merau.trainers.spotting.dataset import FaceClip, list_clips, load_clip
from merau.trainers.spotting.plans import MODELS, draw_expression
from merau.trainers.spotting.record import Painting, Recording, load_recording, patch_positions, record

FOLDER = "recordings"
FOOTAGE_VERSIONS = 12
GAIN = (0.7, 1.0)  # share of a true movement that the patch flow measures
APART_S = 0.3  # between an expression of the clip and a painted one


def record_all(folder: Path) -> list[Recording]:
    """Return the recordings of a data set; those that its folder has already are read."""
    out = folder / FOLDER
    out.mkdir(exist_ok=True)
    recordings = []
    for file in tqdm(list_clips(folder), unit="clip", desc="recording", file=sys.stderr):
        clip = load_clip(file)
        for version, model in enumerate(painted_models(clip)):
            path = out / f"{clip.name}-{version}.npz"
            if not path.exists():
                record(clip, paint(clip, model, version) if model else None).save(path)
            recordings.append(load_recording(path))
    return recordings


def painted_models(clip: FaceClip) -> list[str | None]:
    """Return the motion model that paints each version of a clip; the first is bare.

    Footage is painted by each model in turn; a rendered face moves by its own.
    """
    if clip.motion_model in MODELS:
        return [None]
    return [None, *(MODELS[i % len(MODELS)] for i in range(FOOTAGE_VERSIONS))]


def paint(clip: FaceClip, model: str, version: int) -> Painting:
    """Draw micro- and macro-expressions for the times at which a clip has none."""
    rng = np.random.default_rng([zlib.crc32(clip.name.encode()), version])
    skin, gain = person_bumps(int(rng.integers(2**31)), model), rng.uniform(*GAIN)
    busy = [(span["onset_s"], span["offset_s"]) for span in clip.spans if span["kind"] in ("micro", "macro")]
    painted: list[Action] = []
    t_s = rng.uniform(0.7, 1.5)
    while t_s < clip.duration_s - 0.8:
        action = draw_expression(rng, "micro" if rng.random() < 0.8 else "macro", t_s, skin)
        free = all(action.offset_s + APART_S < onset_s or offset_s + APART_S < t_s for onset_s, offset_s in busy)
        if free and action.offset_s < clip.duration_s - 0.3:
            painted.append(action)
            t_s = action.offset_s
        t_s += rng.uniform(0.3, 1.2)
    units = [action_units(action.ramps[0].amounts) for action in painted]
    return Painting(model, tuple(painted), tuple(gain * field(*patch_positions(), one, skin) for one in units))
