"""What moved in one crop against an earlier one: flow without head motion, averaged over patches of the face."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numba
import numpy as np

from merau.engine.crop import LAYOUT, CropSpec, apply, compose
from merau.engine.flow import fit_motion, motion_basis, on_face
from merau.engine.patch_flow import FULL, SIDE, STRIDE, Patched, patch_flow, patch_means, patch_texture, patched
from merau.engine.runtimes.select import patch_flow_on_gpu
from merau.stream.align import Crop

CELLS = (15, 14)  # rows and columns that the full crop is averaged to; a patch is 2 x 2 cells
PATCHES = (14, 13)
LEAST_TRUST = 0.03


@dataclass(frozen=True)
class FrameFeatures:
    """A crop that was analysed, and what the spotter keeps of it."""

    crop: Crop
    patches: Patched
    trust: np.ndarray  # (rows, columns) float32 of the patches' flow
    aperture: float  # opening of the eyes over their width
    mouth_px: float  # gap between the lips, crop pixels
    motions: "dict[int, PatchMotion]" = field(
        default_factory=dict
    )  # what was measured, by the index of the earlier crop


@dataclass(frozen=True)
class PatchMotion:
    """Facial motion between two moments."""

    patches: np.ndarray  # (2, 14, 13) float32, pixels
    turn: np.ndarray  # (2,) how far the nose moved against the rest of the head, pixels: a turn of the head


def extract(crop: Crop) -> FrameFeatures:
    """The crop, ready to be compared, and the two openings of the face."""
    lids, corners, other_lids, other_corners, mouth_px = (math.dist(*ends) for ends in crop.landmarks[GAPS].tolist())
    aperture = (lids / corners + other_lids / other_corners) / 2
    patches = patched(crop.grey)
    return FrameFeatures(crop, patches, patch_texture(patches), aperture, mouth_px)


# Upper and lower lid of an eye and its corners, of the one and the other; upper and lower lip.
GAPS = np.array([(159, 145), (33, 133), (386, 374), (263, 362), (13, 14)])


Flow = Callable[[FrameFeatures, FrameFeatures], tuple[np.ndarray, np.ndarray]]  # as patch_flow gives it


def on_cpu(before: FrameFeatures, after: FrameFeatures) -> tuple[np.ndarray, np.ndarray]:
    return patch_flow(before.patches, after.patches)


def on_gpu(spec: CropSpec) -> Flow:
    """The same on the GPU, together with what other cameras ask. Raises DeviceError where there is none."""
    ask = patch_flow_on_gpu(*spec.full)

    def flow(before: FrameFeatures, after: FrameFeatures) -> tuple[np.ndarray, np.ndarray]:
        uv, misfit = ask(before=before.crop.grey[None], after=after.crop.grey[None])
        return uv[0], misfit[0]

    return flow


def motion_between(before: FrameFeatures, after: FrameFeatures, spec: CropSpec, flow: Flow = on_cpu) -> PatchMotion:
    """Facial motion from `before` to `after`; measured once, for movements often have their reference in common."""
    if before.crop.index not in after.motions:
        after.motions[before.crop.index] = _measured(before, after, spec, flow)
    return after.motions[before.crop.index]


def _measured(before: FrameFeatures, after: FrameFeatures, spec: CropSpec, flow: Flow) -> PatchMotion:
    uv, misfit = flow(before, after)
    grid = _grid(spec)
    fit = fit_motion(uv, before.trust, grid.basis, grid.face)
    return PatchMotion(_averaged(uv, misfit, before.trust, fit, grid.basis, grid.down, grid.across), fit[:, 3])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _averaged(uv, misfit, trust, fit, basis, down, across):  # type: ignore[no-untyped-def]
    """`uv` of small patches less the head motion `fit`, as weighted means (2, 14, 13) float32 over larger ones."""
    _, rows, columns = uv.shape
    weighted = np.empty((rows, 3, columns), np.float32)  # weight, and it times u and v
    for i in range(rows):
        for j in range(columns):
            weight = (trust[i, j] + np.float32(LEAST_TRUST)) / max(misfit[i, j], np.float32(1))  # less is coding noise
            weighted[i, 0, j] = weight
            for axis in range(2):
                head = np.float32(0)
                for k in range(4):
                    head += np.float32(fit[axis, k]) * basis[k, i, j]
                weighted[i, 1 + axis, j] = weight * (uv[axis, i, j] - head)
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
    """Where the small patches of engine.patches lie, and how they average (`down` and `across`) to the (14, 13)."""

    basis: np.ndarray  # (4, rows, columns) float32, engine.flow.motion_basis
    face: np.ndarray  # (N, 2) int32, patches that lie on the face
    down: np.ndarray  # (14, rows) float32
    across: np.ndarray  # (columns, 13) float32


@lru_cache
def _grid(spec: CropSpec) -> _Grid:
    basis = patch_means(motion_basis(spec))
    overlaps = [
        _overlap(count, cells, size_px / FULL)
        for count, cells, size_px in zip(basis.shape[1:], CELLS, spec.full, strict=True)
    ]
    return _Grid(basis, np.argwhere(on_face(basis)).astype(np.int32), overlaps[0], overlaps[1].T)


def _overlap(patches: int, cells: int, size: float) -> np.ndarray:
    """How much of each patch lies in each two neighbouring cells along one side, (cells - 1, patches) float32."""
    begin, cell = STRIDE * np.arange(patches), size / cells * np.arange(cells - 1)[:, None]
    shared = np.minimum(begin + SIDE, cell + 2 * size / cells) - np.maximum(begin, cell)
    return shared.clip(0).astype(np.float32)


def head_px(before: FrameFeatures, after: FrameFeatures, spec: CropSpec) -> float:
    """How far the head moved across the picture, in crop pixels: mean over the corners of the inner square."""
    top, left = spec.top_px, spec.side_px
    right, bottom = left + spec.size_px, top + spec.size_px
    square = np.array([[left, top], [right, top], [left, bottom], [right, bottom]])
    moved = apply(compose(after.crop.matrix, cv2.invertAffineTransform(before.crop.matrix)), square)
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
