"""How Action Units and head turns move the picture of true faces: three-dimensional scans, seen by a camera.

A face is drawn with a random identity, pose and distance, and with one of several ways to do each Action Unit. Its
fields say how each point of the crop moves: first order in the intensity, hidden surfaces dropped. The fields of many
faces are kept as a low-rank basis, `scan_faces.npz`, which is all that training needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numba
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from merau.engine.crop import LAYOUT, apply, similarity
from merau.engine.errors import UserError
from merau.trainers.data.synth.action_units import BLINK, MOVES
from merau.trainers.data.synth.face_model import FaceModel

BASIS = Path(__file__).with_name("scan_faces.npz")
CELLS = 32  # cells a side of the crop's square
ABOVE, BELOW, ASIDE = 9, 15, 5  # further cells: a squashed crop shows the neck
ROWS, COLUMNS = ABOVE + CELLS + BELOW, CELLS + 2 * ASIDE
XS = (np.arange(COLUMNS) - ASIDE + 0.5) / CELLS  # cell centres, crop fractions
YS = (np.arange(ROWS) - ABOVE + 0.5) / CELLS
OVERSAMPLING = 2  # visible surfaces are found at so many points a cell and axis
TRAINING_FACES, HELD_OUT_FACES = 500, 100
RANK = 32
YAW_DEG, PITCH_DEG, ROLL_DEG = 7.0, 7.0, 2.0  # standard deviations
CAMERA_CM = (50.0, 150.0)
RADIUS_CM = 8.0  # a turn of 1 moves a point at this distance from the axis by 1
MIDDLE_CM = 0.6  # width of the soft border between left and right, for shapes without sides
EYEBALL = 0.97  # its radius relative to the sphere through the lids' edges

# Ways to do an Action Unit: shapes with their weights.
WAYS: dict[int, tuple[Mapping[str, float], ...]] = {
    1: ({"browInnerUp": 1},),
    2: ({"browOuterUp": 1},),
    4: ({"browDown": 1},),
    5: ({"eyeWide": 1},),
    6: ({"cheekRaiser": 1}, {"cheekSquint": 1}, {"cheekRaiser": 0.6, "cheekSquint": 0.4, "eyeSquint": 0.4}),
    7: ({"eyeSquint": 1}, {"eyeSquint": 1, "eyeBlink": 0.12}),
    9: ({"noseSneer": 1}, {"noseSneer": 1, "browDown": 0.35}),
    10: (
        {"mouthUpperUp": 1},
        {"mouthUpperUp": 0.6, "mouthShrugUpper": 0.5},
        {"mouthUpperUp": 1, "noseSneer": 0.25},
    ),
    12: ({"mouthSmile": 1}, {"mouthSmile": 1, "cheekSquint": 0.25}),
    14: ({"mouthDimple": 1},),
    15: ({"mouthFrown": 1},),
    17: ({"mouthShrugLower": 1}, {"mouthShrugLower": 1, "mouthPress": 0.3}),
    20: ({"mouthStretch": 1},),
    23: ({"mouthPress": 0.6, "mouthPucker": 0.25}, {"mouthPucker": 0.3, "mouthRollLower": 0.15}),
    24: ({"mouthPress": 1}, {"mouthPress": 0.7, "mouthRollLower": 0.25, "mouthRollUpper": 0.2}),
    25: ({"mouthLowerDown": 1, "mouthUpperUp": 0.15}, {"jawOpen": 0.08, "mouthLowerDown": 0.5}),
    26: ({"jawOpen": 1},),
    BLINK: ({"eyeBlink": 1},),
}
IMAGE_SIDES = ("_R", "_L")  # the person's right is on the left of the image


@dataclass(frozen=True)
class View:
    """One face as a camera sees it.

    Attributes:
        identity: (I,) weights of the identities.
        turn_deg: Yaw, pitch and roll.
        camera_cm: Distance of the camera from the head's middle.
        ways: (18,) which way each of MOVES is done.
    """

    identity: np.ndarray
    turn_deg: tuple[float, float, float]
    camera_cm: float
    ways: tuple[int, ...]


class Scans:
    """Renders fields of `model`.

    Raises UserError where the model lacks a FACS shape of WAYS.
    """

    def __init__(self, model: FaceModel):
        self._model = model
        self._rims = rims(model)
        triangles = [model.quads[:, [0, 1, 2]], model.quads[:, [0, 2, 3]]]
        balls = [BALL[1] + len(model.neutral) + i * len(BALL[0]) for i in range(2)]
        self._triangles = np.concatenate([*triangles, *balls])
        self._shapes = [[self._sides(way) for way in WAYS[move]] for move in MOVES]
        self._unit = self._frontal_peaks()

    def _sides(self, way: Mapping[str, float]) -> np.ndarray:
        """Return the offsets (2, V, 3) of one way to do an Action Unit, on the left and right of the image."""
        share = 1 / (1 + np.exp(-self._model.neutral[:, :1] / MIDDLE_CM))
        total = np.zeros((2, *self._model.neutral.shape), np.float32)
        for name, weight in way.items():
            for side, part in enumerate((1 - share, share)):
                sided = name + IMAGE_SIDES[side]
                if sided not in self._model.shapes and name not in self._model.shapes:
                    raise UserError("The face model lacks the shape {name}.", name=name)
                offset = self._model.shapes.get(sided)
                total[side] += weight * (part * self._model.shapes[name] if offset is None else offset)
        return total

    def _frontal_peaks(self) -> list[np.ndarray]:
        """Return the peak of every way on the mean face seen from the front, crop fractions: arrays (ways,)."""
        at, _ = _project(self._anchors(self._model.neutral), None, max(CAMERA_CM))
        scale = float(np.linalg.norm(similarity(at, LAYOUT)[:, 0]))
        return [np.array([scale * np.hypot(*both[0, :, :2].T).max() for both in ways]) for ways in self._shapes]

    def _anchors(self, face: np.ndarray) -> np.ndarray:
        """Return the centres (3, 3) of the eyes on the left and right of the image and of the mouth."""
        return np.stack([face[rim].mean(0) for rim in self._rims])

    def fields(self, view: View) -> np.ndarray:
        """Return how the picture moves, (21, 2, 2, ROWS, COLUMNS) float32.

        The first 18 rows are MOVES, each on the left and right of the image; 1 is the peak of a movement of the mean
        face. The others are pairs of head motions: turns about x and y; a turn about z and translation along x;
        translations along y and z. The third axis is (u, v), right and down positive.
        """
        turn = _rotation(view.turn_deg).astype(np.float32)
        face = self._model.neutral + np.tensordot(view.identity.astype(np.float32), self._model.identities, axes=1)
        points = np.concatenate([face, *(_eyeball(face[rim]) for rim in self._rims[:2])]) @ turn.T
        skin = np.concatenate([ways[way] for ways, way in zip(self._shapes, view.ways, strict=True)]) @ turn.T
        moving = np.zeros((42, *points.shape), np.float32)
        moving[:36, : len(face)] = skin
        moving[36:] = _rigid_motions(points, view.camera_cm)
        at, moved = _project(points, moving, view.camera_cm)
        anchors, _ = _project(self._anchors(face) @ turn.T, None, view.camera_cm)
        layout = similarity(anchors, LAYOUT)
        scale = float(np.linalg.norm(layout[:, 0]))
        peaks = [peak[way] for peak, way in zip(self._unit, view.ways, strict=True)]
        unit = np.concatenate([np.repeat(peaks, 2), np.full(6, scale)])
        moved = (moved @ layout[:, :2].T.astype(np.float32)) / unit[:, None, None].astype(np.float32)
        triangle, share = _visible(apply(layout, at), view.camera_cm - points[:, 2], self._triangles)
        return _cells(moved, self._triangles, triangle, share).reshape(-1, 2, 2, ROWS, COLUMNS)


def draw_view(rng: np.random.Generator, identities: int) -> View:
    """Draw a face, its pose and its camera."""
    return View(
        rng.normal(0, 1, identities),
        tuple(rng.normal(0, (YAW_DEG, PITCH_DEG, ROLL_DEG)).tolist()),
        float(rng.uniform(*CAMERA_CM)),
        tuple(int(rng.integers(len(WAYS[move]))) for move in MOVES),
    )


def rims(model: FaceModel) -> list[np.ndarray]:
    """Return the vertices around the holes of a mesh: eye on the left and right of the image, mouth.

    Raises UserError where the mesh has fewer.
    """
    edges = np.sort(np.stack([model.quads, np.roll(model.quads, -1, 1)], -1).reshape(-1, 2), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]
    found, count = np.unique(edges, axis=0, return_counts=True)
    open_edges = found[count == 1]
    size = len(model.neutral)
    graph = coo_matrix((np.ones(len(open_edges)), open_edges.T), (size, size))
    _, part = connected_components(graph, directed=False)
    on_rim = np.unique(open_edges)
    holes = [on_rim[part[on_rim] == i] for i in np.unique(part[on_rim])]
    face = sorted(holes, key=lambda rim: -model.neutral[rim, 2].mean())[:3]  # the neck's rim lies behind
    if len(face) < 3:
        raise UserError("The face model needs holes for both eyes and the mouth.")
    mouth, *eyes = sorted(face, key=lambda rim: model.neutral[rim, 1].mean())
    return [*sorted(eyes, key=lambda rim: model.neutral[rim, 0].mean()), mouth]


def _sphere() -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3) and triangles (T, 3) of the front of a unit sphere, z forward."""
    around, out = np.meshgrid(np.linspace(0, 2 * np.pi, 24, endpoint=False), np.linspace(0.02, 1.5, 8), indexing="ij")
    points = np.stack([np.sin(out) * np.cos(around), np.sin(out) * np.sin(around), np.cos(out)], -1).reshape(-1, 3)
    i, j = (index.ravel() for index in np.mgrid[:24, :7])
    a, b = 8 * i + j, 8 * ((i + 1) % 24) + j
    return points, np.concatenate([np.stack([a, b, b + 1], 1), np.stack([a, b + 1, a + 1], 1)])


BALL = _sphere()


def _eyeball(rim: np.ndarray) -> np.ndarray:
    """Return the vertices of an eyeball behind the lids' edges (n, 3)."""
    lines = np.column_stack([2 * rim, np.ones(len(rim))])
    centre_and_rest = np.linalg.lstsq(lines, (rim**2).sum(1), rcond=None)[0]
    centre = centre_and_rest[:3]
    return centre + EYEBALL * np.sqrt(centre_and_rest[3] + centre @ centre) * BALL[0]


def _rotation(turn_deg: tuple[float, float, float]) -> np.ndarray:
    """Return the matrix (3, 3) of yaw, then pitch, then roll."""
    return Rotation.from_euler("yxz", turn_deg, degrees=True).as_matrix()


def _rigid_motions(points: np.ndarray, camera_cm: float) -> np.ndarray:
    """Return how the head's motions move `points` (V, 3): (6, V, 3).

    They are turns about x, y and z, 1 at RADIUS_CM from the axis, and translations along x, y and z. The last is so
    far that the picture grows by 1 at RADIUS_CM from its middle.
    """
    axes = np.eye(3)
    turns = [np.cross(axis, points) / RADIUS_CM for axis in axes]
    shifts = [np.broadcast_to(axis, points.shape) for axis in axes * (1, 1, camera_cm / RADIUS_CM)]
    return np.stack([*turns, *shifts])


def _project(points: np.ndarray, moving: np.ndarray | None, camera_cm: float) -> tuple[np.ndarray, np.ndarray]:
    """Project `points` (V, 3) to the picture (V, 2), y down; and their motions (N, V, 3) to (N, V, 2)."""
    depth = camera_cm - points[:, 2]
    scale = (camera_cm / depth)[:, None] * (1.0, -1.0)
    at = points[:, :2] * scale
    if moving is None:
        return at, np.empty(0)
    return at, moving[..., :2] * scale.astype(np.float32) + (at / depth[:, None]).astype(np.float32) * moving[..., 2:]


def _visible(at: np.ndarray, depth: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which triangle is seen at each point of the fine grid, and the shares of its corners.

    They are (n,) int, -1 where none is, and (n, 3).
    """
    fine = CELLS * OVERSAMPLING
    points = at * fine + np.array([ASIDE, ABOVE]) * OVERSAMPLING - 0.5
    return _rasterize(points, depth, triangles, ROWS * OVERSAMPLING, COLUMNS * OVERSAMPLING)


@numba.njit(cache=True, nogil=True)
def _rasterize(at, depth, triangles, rows, columns):  # type: ignore[no-untyped-def]
    nearest = np.full((rows, columns), np.inf)
    seen = np.full((rows, columns), -1, np.int64)
    share = np.zeros((rows, columns, 3))
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ax, ay, bx, by, cx, cy = at[a, 0], at[a, 1], at[b, 0], at[b, 1], at[c, 0], at[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        for y in range(max(0, int(np.ceil(min(ay, by, cy)))), min(rows, int(np.floor(max(ay, by, cy))) + 1)):
            for x in range(max(0, int(np.ceil(min(ax, bx, cx)))), min(columns, int(np.floor(max(ax, bx, cx))) + 1)):
                q = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                r = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                p = 1 - q - r
                if p < 0 or q < 0 or r < 0:
                    continue
                far = p * depth[a] + q * depth[b] + r * depth[c]
                if far < nearest[y, x]:
                    nearest[y, x], seen[y, x] = far, t
                    share[y, x] = p, q, r
    return seen.ravel(), share.reshape(-1, 3)


def _cells(moved: np.ndarray, triangles: np.ndarray, seen: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Average the motions (N, V, 2) of what is seen over cells: (N, 2, ROWS, COLUMNS) float32."""
    hit = np.flatnonzero(seen >= 0)
    corners = triangles[seen[hit]]
    fine = np.zeros((len(moved), len(seen), 2), np.float32)
    fine[:, hit] = sum(share[hit, i, None].astype(np.float32) * moved[:, corners[:, i]] for i in range(3))
    cells = fine.reshape(len(moved), ROWS, OVERSAMPLING, COLUMNS, OVERSAMPLING, 2).mean((2, 4))
    return np.moveaxis(cells, -1, 1)


@dataclass(frozen=True)
class Basis:
    """Fields of many faces as a mean and components, for each pair of rows of `Scans.fields`.

    Attributes:
        mean: (21, 2, 2, ROWS, COLUMNS) float32.
        components: (21, RANK, 2, 2, ROWS, COLUMNS) float32.
        coefficients: (21, faces, RANK) float32; the last HELD_OUT_FACES are for evaluation only.
    """

    mean: np.ndarray
    components: np.ndarray
    coefficients: np.ndarray

    def face(self, index: int) -> np.ndarray:
        """Return the fields of one face as `Scans.fields` gives them."""
        return self.mean + np.einsum("bk,bk...->b...", self.coefficients[:, index], self.components)


def derive(model: FaceModel, path: Path, *, training: int = TRAINING_FACES, held_out: int = HELD_OUT_FACES) -> float:
    """Render faces of `model` and write their basis to `path`.

    The basis is fitted to the training faces; the held-out faces are other people, and are only projected on it.

    Returns:
        The share of the held-out fields' energy that the basis holds.
    """
    renderer, rng = Scans(model), np.random.default_rng(0)
    drawn = [draw_view(rng, len(model.identities)) for _ in range(training + held_out)]
    fields = np.empty((training + held_out, 21, 4 * ROWS * COLUMNS), np.float16)
    for i, view in enumerate(tqdm(drawn, desc="rendering faces", unit="face")):
        fields[i] = renderer.fields(view).reshape(21, -1)
    rank = min(RANK, training - 1)
    parts: list[tuple[np.ndarray, ...]] = []
    kept = total = 0.0
    for block in tqdm(np.moveaxis(fields, 1, 0), desc="fitting the basis", unit="move"):
        rows = block.astype(np.float32)
        mean = rows[:training].mean(0)
        rows -= mean
        axes = np.linalg.svd(rows[:training] @ rows[:training].T)[0][:, :rank].T @ rows[:training]
        axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
        scale = np.maximum(np.abs(axes).max(1, keepdims=True) / 127, 1e-12)
        coded = np.round(axes / scale).astype(np.int8)
        coefficients = np.linalg.lstsq((coded * scale).T, rows.T, rcond=None)[0].T
        left = rows[training:] - coefficients[training:] @ (coded * scale)
        kept, total = kept - float((left**2).sum()), total + float(((rows[training:] + mean) ** 2).sum())
        parts.append((mean, coded, scale[:, 0], coefficients))
    mean, coded, scale, coefficients = (np.stack(column) for column in zip(*parts, strict=True))
    np.savez_compressed(
        path, mean=mean.astype(np.float16), components=coded, scale=scale.astype(np.float32),
        coefficients=coefficients.astype(np.float16),
    )  # fmt: skip
    return 1 + kept / max(total, 1e-12)


@lru_cache
def basis(path: Path = BASIS) -> Basis:
    """Return the basis that ships."""
    with np.load(path) as arrays:
        shape = (21, -1, 2, 2, ROWS, COLUMNS)
        components = arrays["components"] * arrays["scale"][..., None]
        mean = arrays["mean"].astype(np.float32).reshape(shape)[:, 0]
        return Basis(mean, components.reshape(shape), arrays["coefficients"].astype(np.float32))
