"""A flow set of animated portraits.

It has three made-up databases that differ in classes and cameras as real ones do.

The recognizer is trained on drawn flow; here portraits are animated, recorded, detected, aligned and measured like real
clips, with seeds kept out of training. So every model can be evaluated, also those that need frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.clip import STEPS
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.engine.flow import pair_flow
from merau.trainers.data import flow_set
from merau.trainers.data.emotions import coarse
from merau.trainers.data.prepare import NEIGHBOURS, make_strip
from merau.trainers.data.synth import action_units as table
from merau.trainers.data.synth.flow_fields import log_uniform
from merau.trainers.data.synth.image_pairs import FRAME, TURN_DEG, align, degrade, draw_channels, draw_poses, read_faces
from merau.trainers.data.synth.portrait import Portrait, Pose
from merau.trainers.data.synth.timelines import Channels

ASTRONAUT = Path(__file__).with_name("synth") / "astronaut.png"
PER_SITTING = 8  # samples of one made-up person


@dataclass(frozen=True)
class Database:
    """A made-up database.

    It has classes, a flow method, and a range of face widths in px.
    """

    classes: table.Combinations
    flow: str
    face_px: tuple[float, float]


DATABASES = {  # like those that MERAU is trained and evaluated on
    "synthetic-source": Database(table.SOURCE, "dis", (140, 240)),
    "synthetic-casme": Database(table.TARGET, "farneback", (120, 200)),
    "synthetic-smic": Database(table.COMBINATIONS, "dis", (80, 130)),
}


def draw_set(out: Path, samples: int, seed: int, portraits: Sequence[Path] = ()) -> None:
    """Write a flow set of `samples` clips with frames to `out`/index.csv.

    Raises UserError where no face is found.
    """
    rng, nets = np.random.default_rng(seed), FaceNets()
    faces = read_faces(portraits or [ASTRONAUT], nets)
    for folder in ("frames", "crops"):
        flow_set.make_folder(out / folder)
    rows: list[dict[str, object]] = []
    images: list[np.ndarray] = []
    with tqdm(total=samples, desc="drawing clips", unit="clip") as bar:
        for sitting in range(4 * -(-samples // PER_SITTING)):  # the face is not found in some clips
            name = list(DATABASES)[sitting % len(DATABASES)]
            face, bumps = faces[int(rng.integers(len(faces)))], table.perturb(rng, None)
            face_px = rng.uniform(*DATABASES[name].face_px)
            portrait = Portrait(face.picture, face.landmarks, size=FRAME, face_px=face_px, bumps=bumps)
            for _ in range(min(PER_SITTING, samples - len(rows))):
                shown, channels = draw_clip(rng, bumps, DATABASES[name].classes)
                crops = align(render_frames(rng, portrait, channels), nets)
                if crops is None:
                    continue
                sample = f"{len(rows):05d}"
                cv2.imwrite(str(out / "frames" / f"{sample}.png"), make_strip(crops))
                apex_first = crops[: -2 - NEIGHBOURS : -1]  # the apex is the last frame, so its neighbours precede it
                cv2.imwrite(str(out / "crops" / f"{sample}.png"), np.concatenate([crops[0], *apex_first]))
                flow = pair_flow(crops[0], crops[-1], spec=CropSpec(), method=DATABASES[name].flow)
                images.append(flow_set.encode_flow(flow))
                who = {"dataset": name, "subject": f"{sitting:03d}", "sample": sample}
                rows.append({**who, **shown, "frames_png": f"frames/{sample}.png", "crops_png": f"crops/{sample}.png"})
                bar.update()
    if not rows:
        raise UserError("No face is found in the animated portraits: use clearer, frontal ones.")
    flow_set.write(out / "index.csv", rows, images)


def draw_clip(
    rng: np.random.Generator, bumps: table.Skin, classes: table.Combinations
) -> tuple[dict[str, object], Channels]:
    """Draw what a clip shows: columns of the index, and the channels that move."""
    emotion = list(classes)[int(rng.integers(len(classes)))]
    channels, aus, _ = draw_channels(rng, bumps, list(classes).index(emotion), "", classes)
    kind = coarse(emotion)
    label = "" if kind is None else flow_set.CLASSES.index(kind)
    units = "+".join(str(au) for au, present in zip(table.AUS, aus, strict=True) if present)
    return {"label": label, "emotion": emotion, "aus": units}, channels


def render_frames(rng: np.random.Generator, portrait: Portrait, channels: Channels) -> list[np.ndarray]:
    """Render STEPS frames from rest to the peak of `channels`.

    The head turns a little meanwhile.
    """
    at, moved = draw_poses(rng, float(log_uniform(rng, TURN_DEG, 1)[0]))
    frames = []
    for share in np.linspace(0, 1, STEPS):
        level = 0.5 - 0.5 * np.cos(np.pi * share)
        moving = {name: level * amount for name, amount in channels.items()}
        frames.append(degrade(rng, portrait.frame(moving, between(at, moved, share))))
    return frames


def between(at: Pose, moved: Pose, share: float) -> Pose:
    """Return the pose `share` of the way from `at` to `moved`."""

    def mix(start: float, end: float) -> float:
        return start + share * (end - start)

    return Pose(
        (mix(at.shift_px[0], moved.shift_px[0]), mix(at.shift_px[1], moved.shift_px[1])),
        *(mix(getattr(at, name), getattr(moved, name)) for name in ("scale", "yaw_deg", "pitch_deg", "roll_deg")),
    )
