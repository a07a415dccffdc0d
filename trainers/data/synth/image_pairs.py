"""Onset-apex image pairs with ground truth.

A portrait at rest and moved passes noise, compression, mesh and alignment.

The counterpart of `flow_fields` in images: Action Units are drawn alike, but the flow must be measured. At about ten
pairs a second it is slow, so it serves to check what was learned from drawn flow, and to train the apex branch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.crop import CropSpec, compose, crop_face, layout_transform, similarity
from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.engine.flow import pair_flow
from merau.engine.preprocess import apex_image, downsample
from merau.trainers.data.synth import action_units as table
from merau.trainers.data.synth.faces import draw_skin
from merau.trainers.data.synth.flow_fields import SPOKEN_PX, Flows, draw_intensities, log_uniform
from merau.trainers.data.synth.portrait import Portrait, Pose, find_face
from merau.trainers.data.synth.timelines import Channels, peak_px

FRAME = (360, 320)
PAIRS_PER_SITTING = 10  # preparing a portrait takes as long as ten pairs
PEAK_PX = (0.5, 4.0)  # at a 128-px crop
TURN_DEG = (0.1, 1.0)  # of the head between onset and apex
NO_EXPRESSION_SHARE = 0.3  # share of pairs
SHADING = (0.0, 0.02)  # see portrait.Portrait
NOTHING = {"rest": 0.3, "head": 0.25, "blink": 0.2, "gaze": 0.1, "speech": 0.15}


@dataclass(frozen=True)
class Face:
    """A picture (H, W, 3) uint8 BGR and the mesh (468, 3) of one face in it."""

    picture: np.ndarray
    landmarks: np.ndarray


@dataclass(frozen=True)
class ImagePairs:
    """N pairs.

    Attributes:
        onset: (N, 180, 168) uint8, full crops.
        apex: (N, 180, 168) uint8, full crops.
        label: As in `flow_fields.Flows`.
        aus: As in `flow_fields.Flows`.
        peak_px: As in `flow_fields.Flows`.
        face: (N,) index of the face.
    """

    onset: np.ndarray
    apex: np.ndarray
    label: np.ndarray
    aus: np.ndarray
    peak_px: np.ndarray
    face: np.ndarray


def read_faces(paths: Sequence[Path], nets: FaceNets) -> list[Face]:
    """Return every face of every picture, each also mirrored.

    Raises UserError where a picture or its face is missing.
    """
    found = []
    for path in paths:
        picture = cv2.imread(str(path))
        if picture is None:
            raise UserError(f"{path} is not an image that can be read.")
        for image in (picture, picture[:, ::-1].copy()):
            for which in range(max(1, len(nets.detect(image)))):
                try:
                    found.append(Face(image, find_face(image, nets, which)))
                except UserError as error:
                    raise UserError(f"{path}: {error}") from error
    return found


def draw_pairs(
    portraits: Sequence[Path],
    samples: int,
    seed: int,
    combinations: table.Combinations = table.COMBINATIONS,
    geometry: str = "mixed",
    held_out: bool = False,
) -> ImagePairs:
    """Draw `samples` pairs of the faces in `portraits`, with a progress bar.

    Labels index `combinations`, and after them "no expression". Faces move as those of `geometry`, one of
    `faces.GEOMETRIES`; with `held_out` scans are of the people kept out of training. A pair whose face is not found is
    drawn again.
    """
    rng, nets = np.random.default_rng(seed), FaceNets()
    faces = read_faces(portraits, nets)
    rows: list[tuple[Any, ...]] = []
    with tqdm(total=samples, desc="drawing pairs", unit="pair") as bar:
        while len(rows) < samples:
            which = int(rng.integers(len(faces)))
            bumps, face_px = draw_skin(rng, geometry, held_out), rng.uniform(90, 240)
            shading = rng.uniform(*SHADING)
            portrait = Portrait(
                faces[which].picture,
                faces[which].landmarks,
                size=FRAME,
                face_px=face_px,
                bumps=bumps,
                shading=shading,
            )
            for _ in range(min(PAIRS_PER_SITTING, samples - len(rows))):
                none = rng.random() < NO_EXPRESSION_SHARE
                other = str(rng.choice(list(NOTHING), p=list(NOTHING.values()))) if none else ""
                label = len(combinations) if none else int(rng.integers(len(combinations)))
                channels, aus, peak = draw_channels(rng, bumps, label, other, combinations)
                turn_deg = float(log_uniform(rng, TURN_DEG, 1)[0]) * (3 if other == "head" else 1)
                poses = draw_poses(rng, turn_deg)
                frames = [portrait.frame(moved, pose) for moved, pose in zip(({}, channels), poses, strict=True)]
                crops = align([degrade(rng, frame) for frame in frames], nets)
                if crops is not None:
                    rows.append((*crops, label, aus, peak, which))
                    bar.update()
            if not rows:
                raise UserError("No face is found in the animated portraits: use clearer, frontal ones.")
    return ImagePairs(*(np.array(column) for column in zip(*rows, strict=True)))


def measure(drawn: ImagePairs, *, method: str = "dis") -> Flows:
    """Measure the flow of each pair as the recognizer does.

    The ground truth is unchanged.
    """
    crops = tqdm(zip(drawn.onset, drawn.apex, strict=True), desc="measuring flow", total=len(drawn.label), unit="pair")
    flow = np.stack([downsample(pair_flow(onset, apex, spec=CropSpec(), method=method)) for onset, apex in crops])
    return Flows(flow, drawn.label, drawn.aus, drawn.peak_px, np.ones(len(flow), bool))


def apex_images(crops: np.ndarray) -> np.ndarray:
    """Return full crops (N, 180, 168) uint8 as the apex branch sees them.

    The result is (N, 1, 64, 64) float32.
    """
    return np.stack([apex_image(crop, CropSpec()) for crop in crops])


def draw_channels(
    rng: np.random.Generator,
    bumps: table.Skin,
    label: int,
    other: str,
    combinations: table.Combinations = table.COMBINATIONS,
) -> tuple[Channels, np.ndarray, float]:
    """Draw what moves.

    Args:
        rng: Source of the draws.
        bumps: How the face moves.
        label: Index into `combinations`, or after them "no expression".
        other: What a sample without expression shows, a key of NOTHING; "" with one.
        combinations: The classes.

    Returns:
        The channels, which Action Units they show (17,), and the true peak displacement in px of a 128-px crop.
    """
    peak = float(log_uniform(rng, SPOKEN_PX if other == "speech" else PEAK_PX, 1)[0])
    intensity, present = draw_intensities(rng, np.array([label]), np.array([other]), np.array([peak]), combinations)
    channels = {
        f"{table.MOVES[move]} {table.SIDES[side]}": float(intensity[0, move, side])
        for move, side in np.argwhere(intensity[0])
    }
    if channels:
        scale = peak / peak_px(channels, bumps)
        channels = {name: amount * scale for name, amount in channels.items()}
    peak *= bool(channels)
    if other == "blink" or rng.random() < 0.1:
        closure = rng.uniform(0.1, 1)
        channels |= {f"{table.BLINK} {side}": closure * rng.uniform(0.9, 1) for side in table.SIDES}
    if other == "gaze" or rng.random() < 0.1:
        channels |= {"gaze_x": rng.choice([-1, 1]) * rng.uniform(0.01, 0.04), "gaze_y": rng.uniform(-0.01, 0.01)}
    return channels, present[0], peak


def draw_poses(rng: np.random.Generator, turn_deg: float) -> tuple[Pose, Pose]:
    """Draw the head's pose at the onset and at the apex.

    In between it turns by about `turn_deg`.
    """
    at = Pose(yaw_deg=rng.normal(0, 3), pitch_deg=rng.normal(0, 2), roll_deg=rng.normal(0, 3))
    yaw, pitch, roll = rng.normal(0, turn_deg, 3) * (1, 0.7, 0.7)
    shift = (float(rng.normal(0, 2 * turn_deg)), float(rng.normal(0, 2 * turn_deg)))
    moved = Pose(shift, 1 + rng.normal(0, 0.005 * turn_deg), at.yaw_deg, at.pitch_deg, at.roll_deg)
    return at, moved.turned(yaw, pitch, roll)


def degrade(rng: np.random.Generator, frame: np.ndarray) -> np.ndarray:
    """Add sensor noise and block compression."""
    noisy = np.clip(frame + rng.normal(0, log_uniform(rng, (0.5, 6), 1)[0], frame.shape), 0, 255).astype(np.uint8)
    _, code = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))


def align(frames: Sequence[np.ndarray], nets: FaceNets) -> list[np.ndarray] | None:
    """Return full crops, uint8 grey, of frames of one face.

    They are aligned with its first shape as in the live path.

    None where the face is not found.
    """
    detections = nets.detect(frames[0])
    if not detections:
        return None
    spec, at, crops = CropSpec(), nets.mesh(frames[0], detections[0]).landmarks, []
    shape = None
    for frame in frames:
        mesh = nets.mesh(frame, at)
        if mesh.presence < 0.5:
            return None
        at = mesh.landmarks
        points = at[:, :2].astype(np.float64)
        shape = points if shape is None else shape
        matrix = compose(layout_transform(shape, spec), similarity(points, shape))
        crops.append(crop_face(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), matrix, spec))
    return crops
