"""What moved in one crop against an earlier one: flow without head motion, averaged over small patches of the face."""

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from engine.crop import LAYOUT, CropSpec
from engine.flow import fit_global_motion, flow, motion_basis, texture
from stream.align import Crop

CELLS = (15, 14)  # rows and columns that the full crop is averaged to; a patch is 2 x 2 cells
PATCHES = (14, 13)


@dataclass(frozen=True)
class Moment:
    """A crop that was analysed, and what the spotter keeps of it."""

    crop: Crop
    trust: np.ndarray  # (H, W) float32, engine.flow.texture
    aperture: float  # opening of the eyes over their width
    mouth_px: float  # gap between the lips, crop pixels
    motions: "dict[int, Motion]" = field(default_factory=dict)  # what was measured, by the index of the earlier crop


@dataclass(frozen=True)
class Motion:
    """Facial motion between two moments."""

    patches: np.ndarray  # (2, 14, 13) float32, pixels
    turn: np.ndarray  # (2,) how far the nose moved against the rest of the head, pixels: a turn of the head


def moment(crop: Crop) -> Moment:
    """The crop with its texture and the two openings of the face."""
    eyes = [_gap(crop.landmarks, *points) / _gap(crop.landmarks, *corners) for points, corners in EYES]
    return Moment(crop, texture(crop.grey), float(np.mean(eyes)), _gap(crop.landmarks, 13, 14))


EYES = (((159, 145), (33, 133)), ((386, 374), (263, 362)))  # upper and lower lid; corners


def _gap(landmarks: np.ndarray, a: int, b: int) -> float:
    return float(np.hypot(*(landmarks[a] - landmarks[b])))


def motion(before: Moment, after: Moment, spec: CropSpec) -> Motion:
    """Facial motion from `before` to `after`; measured once, for movements often have their reference in common."""
    if before.crop.index not in after.motions:
        after.motions[before.crop.index] = _measured(before, after, spec)
    return after.motions[before.crop.index]


def _measured(before: Moment, after: Moment, spec: CropSpec) -> Motion:
    """On the flow that is fast enough for every frame."""
    uv = flow(before.crop.grey, after.crop.grey, method="dis-ultrafast")
    fit = fit_global_motion(uv, before.trust, spec=spec)
    head = (fit @ _basis_patches(spec).reshape(4, -1)).reshape(2, *PATCHES)
    return Motion((_patches(uv) - head).astype(np.float32), fit[:, 3])


def _patches(field: np.ndarray) -> np.ndarray:
    """Means (C, 14, 13) of a field (C, H, W) over the patches."""
    cells = np.stack([cv2.resize(axis, CELLS[::-1], interpolation=cv2.INTER_AREA) for axis in field])
    return (cells[:, 1:, 1:] + cells[:, 1:, :-1] + cells[:, :-1, 1:] + cells[:, :-1, :-1]) / 4


@lru_cache
def _basis_patches(spec: CropSpec) -> np.ndarray:
    """A mean is linear: head motion taken off the patches is the same as off the pixels, and much cheaper."""
    return _patches(motion_basis(spec))


def head_px(before: Moment, after: Moment, spec: CropSpec) -> float:
    """How far the head moved across the picture, in crop pixels: mean over the corners of the inner square."""
    top, left = spec.top_px, spec.side_px
    right, bottom = left + spec.size_px, top + spec.size_px
    square = np.array([[left, top], [right, top], [left, bottom], [right, bottom]])
    linear, shift = before.crop.matrix[:, :2], before.crop.matrix[:, 2]
    frame = (square - shift) @ np.linalg.inv(linear).T
    moved = frame @ after.crop.matrix[:, :2].T + after.crop.matrix[:, 2]
    return float(np.hypot(*(moved - square).T).mean())


@dataclass(frozen=True)
class Regions:
    """Which patches (14, 13) bool belong to which part of the face."""

    face: np.ndarray  # all of it but the eyes
    eyes: np.ndarray
    lids: np.ndarray  # the face patches that a blink pulls along
    upper: np.ndarray  # the face down to the nose
    lower: np.ndarray  # the face from the cheeks down
    mouth: np.ndarray


@lru_cache
def regions(spec: CropSpec) -> Regions:
    """The patches of the full crop; positions in fractions of the inner square."""
    height, width = spec.full
    rows, columns = np.mgrid[1 : CELLS[0], 1 : CELLS[1]]  # a patch is centred where its four cells meet
    x = (columns * width / CELLS[1] - spec.side_px) / spec.size_px
    y = (rows * height / CELLS[0] - spec.top_px) / spec.size_px
    head = (((x - 0.5) / 0.46) ** 2 + ((y - 0.5) / 0.66) ** 2 <= 1) & (y > -0.12) & (y < 1.1)
    eyes, lids = np.zeros_like(head), np.zeros_like(head)
    for eye_x, eye_y in LAYOUT[:2]:
        eyes |= (abs(x - eye_x) < 0.2) & (abs(y - eye_y) < 0.09)
        lids |= (abs(x - eye_x) < 0.24) & (abs(y - eye_y) < 0.19)
    return Regions(head & ~eyes, head & eyes, head & lids & ~eyes, head & (y < 0.5), head & (y > 0.4), head & (y > 0.6))
