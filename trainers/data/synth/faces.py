"""Faces of three geometries, and mixtures of them: how the picture moves per Action Unit and head motion.

Neither the written table nor rendered scans are true: what a net learns from the spread between both holds best on real
faces. A face has its own geometry and its own layout: real crops are not all cut alike, and many are squashed.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from merau.engine.validation import check, check_range
from merau.trainers.data.synth import action_units as table
from merau.trainers.data.synth import scans

GEOMETRIES = ("table", "corrected", "scans", "bumps", "mixed")
BANKS = GEOMETRIES[:3]
MIXTURES = {"bumps": BANKS[:2], "mixed": BANKS}
MIXTURE = 4 / 7  # share of convex mixtures among mixed faces; the others are equally of each bank
SHARE = (0.2, 0.8)  # of one face in a mixture
RIGID = ("pitch", "yaw", "roll", "across", "down", "zoom")  # rows of head motion
STUDIED = table.TABLE | {26: table.TABLE[26][:3]}  # without the drop of the chin's lower edge, which crops cut off
TABLES = {"table": table.from_table(STUDIED), "corrected": table.from_table(table.CORRECTED)}
RADIUS = 0.7  # crop widths; head turns move points there by 1
EYE_MIDDLE, NOSE = (0.5, 0.25), (0.5, 0.5)
NOSE_WIDTH = (0.12, 0.18)
IRIS_Y, IRIS_WIDTH = 0.25, (0.06, 0.03)
SUBPOINTS = 2  # a cell shows the mean of so many points an axis


@dataclass(frozen=True)
class Grid:
    """Cells of a picture.

    Attributes:
        xs: (W,) centres of the columns, fractions of the crop's square.
        ys: (H,) centres of the rows.
    """

    xs: np.ndarray
    ys: np.ndarray


@dataclass(frozen=True)
class Layout:
    """How crops differ from the standard one. Lengths are crop fractions.

    Attributes:
        squash: Bounds of the vertical scale about the eyes.
        down: Mean of the shift down.
        down_sd: Its standard deviation.
        across_sd: Standard deviation of the shift across.
        across_sigma: Sigma of the lognormal scale across.
        scale_sigma: Sigma of a further lognormal scale of each axis.
        rotation_sd_deg: Standard deviation of the rotation.
    """

    squash: tuple[float, float] = (0.66, 1.0)
    down: float = 0.015
    down_sd: float = 0.03
    across_sd: float = 0.02
    across_sigma: float = 0.08
    scale_sigma: float = 0.02
    rotation_sd_deg: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.squash
        check(self, "squash", 0 < low <= high, "0 < low <= high")
        check_range(self, "down_sd", "across_sd", "across_sigma", "scale_sigma", "rotation_sd_deg", low=0)


@dataclass(frozen=True)
class Variety:
    """How faces differ.

    Attributes:
        layout: How the crops do.
        bumps: How faces of a table do. Its gains are not used: intensities belong to samples.
        warp_sd: How far their shape is warped, crop fractions.
    """

    layout: Layout = field(default_factory=Layout)
    bumps: table.Variation = field(default_factory=table.Variation)
    warp_sd: float = 0.02


@dataclass(frozen=True)
class FaceFields:
    """How F faces move on a grid; float32, right and down positive, 1 = the peak of an Action Unit.

    Attributes:
        moves: (F, 18, 2, 2, H, W), action_units.MOVES on the left and right of the image.
        rigid: (F, 6, 2, H, W), head motions in the order of RIGID.
        iris: (F, H, W), how far points follow the gaze.
    """

    moves: np.ndarray
    rigid: np.ndarray
    iris: np.ndarray

    def motion(self, face: np.ndarray, intensity: np.ndarray) -> np.ndarray:
        """Return the motion (N, 2, H, W) of faces `face` (N,) with intensities (N, 18, 2)."""
        return np.stack(
            [np.einsum("ms,mscyx->cyx", one, self.moves[i]) for i, one in zip(face, intensity, strict=True)]
        )


STANDARD = Layout(squash=(1.0, 1.0), down=0.0, down_sd=0.0, across_sd=0.0, across_sigma=0.0, scale_sigma=0.0)
PORTRAIT = Variety(STANDARD, table.Variation(position_sd=0.012, width_sigma=0.12, direction_sigma=0.12), warp_sd=0.0)
SKIN_GRID = Grid(scans.XS, scans.YS)


def draw_faces(
    rng: np.random.Generator,
    faces: int,
    geometry: str,
    grid: Grid,
    held_out: bool = False,
    variety: Variety = Variety(),
) -> FaceFields:
    """Draw `faces` faces of one of GEOMETRIES, each in its own layout.

    Args:
        rng: Source of the draws.
        faces: How many.
        geometry: One of GEOMETRIES; "mixed" has faces of all three banks, and convex mixtures of two of them.
        grid: Where the fields are wanted.
        held_out: Whether scans are of the people kept out of training.
        variety: How the faces differ.
    """
    if geometry not in GEOMETRIES:
        raise ValueError(f"geometry {geometry!r} is none of {GEOMETRIES}")
    drawn = [_draw_face(rng, geometry, grid, held_out, variety) for _ in range(faces)]
    return FaceFields(*(np.stack(column) for column in zip(*drawn, strict=True)))


def draw_skin(rng: np.random.Generator, geometry: str, held_out: bool = False) -> table.Sampled:
    """Draw one face in the standard layout, to animate a portrait.

    Its shape differs less from the mean face than those that a recognizer is trained on. Arguments as in `draw_faces`.
    """
    drawn = draw_faces(rng, 1, geometry, SKIN_GRID, held_out, PORTRAIT)
    return table.Sampled(SKIN_GRID.xs, SKIN_GRID.ys, drawn.moves[0])


def _draw_face(
    rng: np.random.Generator, geometry: str, grid: Grid, held_out: bool, variety: Variety
) -> tuple[np.ndarray, ...]:
    """Return moves, head motions and iris of one face."""
    if geometry in TABLES:
        return _bump_face(rng, TABLES[geometry], grid, variety)
    if geometry == "scans":
        return _scan_face(rng, grid, held_out, variety.layout)
    names = [str(name) for name in rng.choice(MIXTURES[geometry], 2)]
    first = _draw_face(rng, names[0], grid, held_out, variety)
    if rng.random() >= MIXTURE:
        return first
    second, share = _draw_face(rng, names[1], grid, held_out, variety), rng.uniform(*SHARE)
    moves, rigid, iris = (share * a + (1 - share) * b for a, b in zip(first, second, strict=True))
    if "scans" in names:
        rigid = (first, second)[names.index("scans")][1]
    return moves.astype(np.float32), rigid, iris.astype(np.float32)


def _draw_layout(rng: np.random.Generator, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix (2, 2) and the origin (2,) of one layout.

    A point p of the standard layout goes to matrix @ (p - EYE_MIDDLE) + origin.
    """
    scale = np.exp(rng.normal(0, layout.scale_sigma, 2))
    scale *= (np.exp(rng.normal(0, layout.across_sigma)), rng.uniform(*layout.squash))
    angle = np.deg2rad(rng.normal(0, layout.rotation_sd_deg))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = (rng.normal(0, layout.across_sd), rng.normal(layout.down, layout.down_sd))
    return turn * scale, np.add(EYE_MIDDLE, shift)


def _standard_points(grid: Grid, matrix: np.ndarray, origin: np.ndarray, subpoints: int = 1) -> np.ndarray:
    """Return the points (H * subpoints, W * subpoints, 2) of the standard layout that `grid` shows."""
    xs, ys = (_subdivide(axis, subpoints) for axis in (grid.xs, grid.ys))
    points = np.stack(np.meshgrid(xs, ys), axis=-1)
    return (points - origin) @ np.linalg.inv(matrix).T + EYE_MIDDLE


def _subdivide(axis: np.ndarray, subpoints: int) -> np.ndarray:
    """Return `subpoints` evenly spaced points in each cell of `axis`."""
    step = (axis[-1] - axis[0]) / (len(axis) - 1)
    within = (np.arange(subpoints) + 0.5) / subpoints - 0.5
    return (axis[:, None] + step * within).ravel()


def _bump_face(rng: np.random.Generator, bumps: table.Bumps, grid: Grid, variety: Variety) -> tuple[np.ndarray, ...]:
    """Return moves, head motions and iris of a face of a table."""
    own = table.perturb(rng, None, replace(variety.bumps, gain_sigma=0.0), bumps)
    phase = rng.uniform(0, 2 * np.pi, (2, 1, 2))
    wave = np.sin(5 * own.centre[:, ::-1] + phase[0]) + np.sin(7 * own.centre + phase[1])
    centre = own.centre + variety.warp_sd * wave
    matrix, origin = _draw_layout(rng, variety.layout)
    points = _standard_points(grid, matrix, origin)
    flat = points.reshape(-1, 2).astype(np.float32)
    z = ((flat[:, axis] - centre[:, axis, None]) / own.width[:, axis, None] for axis in (0, 1))  # (B, H * W)
    height = np.exp(-0.5 * sum(along * along for along in z).astype(np.float32))
    share = np.zeros((len(table.MOVES), 2, 2, len(centre)), np.float32)
    share[own.move, own.side, :, np.arange(len(centre))] = own.direction @ matrix.T
    moves = (share @ height).reshape(len(table.MOVES), 2, 2, *points.shape[:2])
    rigid = np.einsum("ij,yxrj->riyx", matrix, _bump_rigid(points)).astype(np.float32)
    return moves, rigid, _iris(points)


def _bump_rigid(points: np.ndarray) -> np.ndarray:
    """Return how a flat head with a nose moves `points` (H, W, 2): (H, W, 6, 2) in the order of RIGID."""
    away = (points - NOSE) / RADIUS
    nose = np.exp(-0.5 * (((points - NOSE) / NOSE_WIDTH) ** 2).sum(-1))
    nothing, whole = np.zeros_like(nose), np.ones_like(nose)
    rows = (
        (nothing, nose),
        (nose, nothing),
        (-away[..., 1], away[..., 0]),
        (whole, nothing),
        (nothing, whole),
        (away[..., 0], away[..., 1]),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _iris(points: np.ndarray) -> np.ndarray:
    """Return how far `points` (H, W, 2) follow the gaze, (H, W) float32."""
    eyes = [(x, IRIS_Y) for x in (table.LEFT_EYE[0], table.RIGHT_EYE[0])]
    return sum(np.exp(-0.5 * (((points - eye) / IRIS_WIDTH) ** 2).sum(-1)) for eye in eyes).astype(np.float32)


def _scan_face(rng: np.random.Generator, grid: Grid, held_out: bool, layout: Layout) -> tuple[np.ndarray, ...]:
    """Return moves, head motions and iris of a rendered scan."""
    matrix, origin = _draw_layout(rng, layout)
    kept = scans.basis().coefficients.shape[1] - scans.HELD_OUT_FACES
    index = kept + rng.integers(scans.HELD_OUT_FACES) if held_out else rng.integers(kept)
    fields = scans.basis().face(int(index)).reshape(-1, 2, scans.ROWS, scans.COLUMNS)  # (42, 2, rows, columns)
    fine = _standard_points(grid, matrix, origin, SUBPOINTS)
    at = (fine * scans.CELLS + (scans.ASIDE, scans.ABOVE) - 0.5).astype(np.float32)
    seen = cv2.remap(
        np.ascontiguousarray(np.moveaxis(fields.reshape(-1, scans.ROWS, scans.COLUMNS), 0, -1)),
        at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    height, width = len(grid.ys), len(grid.xs)
    cells = seen.reshape(height, SUBPOINTS, width, SUBPOINTS, -1, 2).mean((1, 3))  # (H, W, 42, 2)
    turned = np.moveaxis(cells @ matrix.T.astype(np.float32), (2, 3), (0, 1))
    moves = turned[:36].reshape(len(table.MOVES), 2, 2, height, width)
    return moves, turned[36:], _iris(_standard_points(grid, matrix, origin))
