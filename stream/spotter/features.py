"""Measure the facial motion between two frames: patch flow without head motion, averaged over larger patches."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numba
import numpy as np

from merau.engine.crop import LAYOUT, CropSpec, apply, compose
from merau.engine.flow import fit_motion, motion_basis, on_face
from merau.engine.patch_flow import (
    FULL,
    SIDE,
    STRIDE,
    PatchPyramid,
    build_pyramid,
    patch_flow,
    patch_means,
    patch_texture,
)
from merau.stream.align import Crop

CELLS = (15, 14)  # rows and columns of cells in the full crop; a patch covers 2 x 2 cells
PATCHES = (14, 13)  # rows and columns of patches
MIN_TRUST = 0.03  # added to the trust of every patch, so that none counts for nothing

# Landmarks: upper and lower lid and both corners of one eye, the same of the other; upper and lower lip.
OPENINGS = np.array([(159, 145), (33, 133), (386, 374), (263, 362), (13, 14)])


@dataclass(frozen=True)
class FrameFeatures:
    """What the spotter keeps of one crop.

    Attributes:
        crop: The crop itself.
        patches: Its image pyramid, ready for patch flow.
        trust: (rows, columns) float32, texture of each patch: how far its flow can be trusted.
        aperture: Opening of the eyes over their width, mean of both eyes.
        mouth_px: Gap between the lips, crop px.
        motions: Motion against earlier crops, by the index of the earlier one.
    """

    crop: Crop
    patches: PatchPyramid
    trust: np.ndarray
    aperture: float
    mouth_px: float
    motions: "dict[int, PatchMotion]" = field(default_factory=dict)


@dataclass(frozen=True)
class PatchMotion:
    """Facial motion between two frames.

    Attributes:
        patches: (2, 14, 13) float32, mean motion of each patch, crop px.
        turn: (2,) float64, motion of the nose against the rest of the head, crop px; it shows a turn of the head.
    """

    patches: np.ndarray
    turn: np.ndarray


Flow = Callable[[FrameFeatures, FrameFeatures], tuple[np.ndarray, np.ndarray]]  # flow and residual, as `patch_flow`


def extract(crop: Crop) -> FrameFeatures:
    """Prepare a crop for comparison and measure the openings of eyes and mouth."""
    lids, corners, other_lids, other_corners, mouth_px = (
        math.dist(*ends) for ends in crop.landmarks[OPENINGS].tolist()
    )
    aperture = (lids / corners + other_lids / other_corners) / 2
    patches = build_pyramid(crop.grey)
    return FrameFeatures(crop, patches, patch_texture(patches), aperture, mouth_px)


def flow_on_cpu(before: FrameFeatures, after: FrameFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Patch flow and its residual between two frames."""
    return patch_flow(before.patches, after.patches)


def motion_between(
    before: FrameFeatures, after: FrameFeatures, spec: CropSpec, flow: Flow = flow_on_cpu
) -> PatchMotion:
    """Facial motion from `before` to `after`; measured once, since trajectories often share their reference."""
    if before.crop.index not in after.motions:
        uv, residual = flow(before, after)
        grid = _grid(spec)
        fit = fit_motion(uv, before.trust, grid.basis, grid.face)
        weighted = _weigh_patches(uv, residual, before.trust, fit, grid.basis)
        patches = _average_patches(weighted, grid.down, grid.across)
        after.motions[before.crop.index] = PatchMotion(patches, fit[:, 3])
    return after.motions[before.crop.index]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _weigh_patches(uv, residual, trust, fit, basis):  # type: ignore[no-untyped-def]
    """Subtract the head motion `fit` from `uv` and weigh each patch by trust and residual.

    Returns:
        (rows, 3, columns) float32: weight, weight times u, weight times v.
    """
    _, rows, columns = uv.shape
    weighted = np.empty((rows, 3, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            # A residual below 1 is coding noise.
            weight = (trust[i, j] + np.float32(MIN_TRUST)) / max(residual[i, j], np.float32(1))
            weighted[i, 0, j] = weight
            for axis in range(2):
                head = np.float32(0)
                for k in range(4):
                    head += np.float32(fit[axis, k]) * basis[k, i, j]
                weighted[i, 1 + axis, j] = weight * (uv[axis, i, j] - head)
    return weighted


@numba.njit(cache=True, nogil=True, fastmath=True)
def _average_patches(weighted, down, across):  # type: ignore[no-untyped-def]
    """Average the weighted small patches to the larger ones: (2, 14, 13) float32 px."""
    rows, _, columns = weighted.shape
    means = np.empty((2, len(down), across.shape[1]), np.float32)
    line = np.empty((3, columns), np.float32)
    for row in range(len(down)):
        line[:] = 0
        for i in range(rows):
            if down[row, i] > 0:
                for k in range(3):
                    for j in range(columns):
                        line[k, j] += down[row, i] * weighted[i, k, j]
        for column in range(across.shape[1]):
            total = u = v = np.float32(0)
            for j in range(columns):
                share = across[j, column]
                total, u, v = total + share * line[0, j], u + share * line[1, j], v + share * line[2, j]
            means[0, row, column], means[1, row, column] = u / total, v / total
    return means


@dataclass(frozen=True)
class _Grid:
    """Where the small patches of the flow lie, and their weights in the larger (14, 13) patches.

    Attributes:
        basis: (4, rows, columns) float32, `engine.flow.motion_basis` of each small patch.
        face: (N, 2) int32, row and column of the small patches on the face.
        down: (14, rows) float32, weights down the crop.
        across: (columns, 13) float32, weights across the crop.
    """

    basis: np.ndarray
    face: np.ndarray
    down: np.ndarray
    across: np.ndarray


@lru_cache
def _grid(spec: CropSpec) -> _Grid:
    basis = patch_means(motion_basis(spec))
    overlaps = [
        _overlap(count, cells, size_px / FULL)
        for count, cells, size_px in zip(basis.shape[1:], CELLS, spec.full, strict=True)
    ]
    return _Grid(basis, np.argwhere(on_face(basis)).astype(np.int32), overlaps[0], overlaps[1].T)


def _overlap(patches: int, cells: int, size: float) -> np.ndarray:
    """Overlap of each patch with each pair of neighbouring cells along one side, (cells - 1, patches) float32, px."""
    begin, cell = STRIDE * np.arange(patches), size / cells * np.arange(cells - 1)[:, None]
    shared = np.minimum(begin + SIDE, cell + 2 * size / cells) - np.maximum(begin, cell)
    overlap: np.ndarray = shared.clip(0).astype(np.float32)
    return overlap


def head_shift_px(before: FrameFeatures, after: FrameFeatures, spec: CropSpec) -> float:
    """How far the head moved across the frame, crop px: mean over the corners of the inner square."""
    top, left = spec.top_px, spec.side_px
    right, bottom = left + spec.size_px, top + spec.size_px
    square = np.array([[left, top], [right, top], [left, bottom], [right, bottom]])
    moved = apply(compose(after.crop.matrix, cv2.invertAffineTransform(before.crop.matrix)), square)
    return float(np.hypot(*(moved - square).T).mean())


@dataclass(frozen=True)
class FaceRegions:
    """Masks (14, 13) bool of the patches of each part of the face.

    Attributes:
        face: All of the face except the eyes.
        eyes: Both eyes.
        lids: Patches of `face` around the eyes, which a blink pulls along.
        upper: The face down to the nose.
        lower: The face from the cheeks down.
        mouth: The mouth.
    """

    face: np.ndarray
    eyes: np.ndarray
    lids: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    mouth: np.ndarray


@lru_cache
def regions(spec: CropSpec) -> FaceRegions:
    """The parts of the face in a crop; limits are fractions of the inner square."""
    height, width = spec.full
    rows, columns = np.mgrid[1 : CELLS[0], 1 : CELLS[1]]  # a patch is centred where its four cells meet
    x = (columns * width / CELLS[1] - spec.side_px) / spec.size_px
    y = (rows * height / CELLS[0] - spec.top_px) / spec.size_px
    head = (((x - 0.5) / 0.46) ** 2 + ((y - 0.5) / 0.66) ** 2 <= 1) & (y > -0.12) & (y < 1.1)
    eyes, lids = np.zeros_like(head), np.zeros_like(head)
    for eye_x, eye_y in LAYOUT[:2]:
        eyes |= (abs(x - eye_x) < 0.2) & (abs(y - eye_y) < 0.09)
        lids |= (abs(x - eye_x) < 0.24) & (abs(y - eye_y) < 0.19)
    return FaceRegions(
        head & ~eyes, head & eyes, head & lids & ~eyes, head & (y < 0.5), head & (y > 0.4), head & (y > 0.6)
    )
