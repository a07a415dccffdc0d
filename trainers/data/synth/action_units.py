"""How the skin moves: a table of FACS Action Units.

Coordinates are fractions of the face crop: eye centres at (.22, .25) and (.78, .25), mouth centre at (.5, .82), y down.
Each Action Unit is a sum of separable Gaussian bumps, written for the image-left half of the face and mirrored to the
right. Directions are relative: displacements have the unit of the intensities (crop fractions or pixels). Action Units
as in Ekman and Friesen, Facial Action Coding System (1978).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

AUS: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)
BLINK = 45  # in the table because lids move skin, too; never part of an expression
MOVES: tuple[int, ...] = (*AUS, BLINK)
SIDES: tuple[str, str] = ("left", "right")  # of the image, not of the person

MOST_ROWS = 30_000  # of a map for cv2.remap
LEFT_EYE, RIGHT_EYE, MOUTH = (0.22, 0.25), (0.78, 0.25), (0.5, 0.82)

Table = dict[int, tuple[tuple[float, float, float, float, float, float], ...]]
# AU: bumps of (x, y, lateral (outward +), vertical (down +), width x, width y)
TABLE: Table = {
    1: (
        (0.39, 0.09, -0.2, -1.0, 0.09, 0.08),
        (0.46, 0.03, 0.0, -0.8, 0.10, 0.07),
        (0.27, 0.05, 0.0, -0.5, 0.09, 0.08),
    ),
    2: (
        (0.08, 0.09, 0.15, -1.0, 0.10, 0.08),
        (0.20, 0.05, 0.0, -1.0, 0.10, 0.08),
        (0.15, -0.02, 0.0, -0.7, 0.14, 0.06),
    ),
    4: (
        (0.40, 0.10, -0.8, 0.9, 0.09, 0.08),
        (0.27, 0.08, -0.5, 0.7, 0.10, 0.07),
        (0.10, 0.10, -0.3, 0.4, 0.10, 0.08),
        (0.48, 0.12, -0.2, 0.6, 0.05, 0.08),
        (0.24, 0.20, -0.1, 0.5, 0.12, 0.04),
    ),
    5: ((0.22, 0.22, 0.0, -0.9, 0.10, 0.035),),
    6: (
        (0.15, 0.42, 0.25, -0.6, 0.12, 0.08),
        (0.05, 0.30, -0.3, 0.1, 0.06, 0.06),
        (0.22, 0.30, 0.0, -0.4, 0.12, 0.03),
    ),
    7: (
        (0.22, 0.285, -0.15, -0.5, 0.10, 0.03),
        (0.22, 0.22, 0.0, 0.5, 0.10, 0.03),
    ),
    9: (
        (0.39, 0.52, 0.0, -0.8, 0.07, 0.09),
        (0.46, 0.32, 0.0, -0.4, 0.06, 0.07),
        (0.42, 0.12, -0.3, 0.6, 0.08, 0.08),
        (0.29, 0.45, -0.1, -0.6, 0.08, 0.07),
        (0.42, 0.74, 0.0, -0.5, 0.08, 0.05),
    ),
    10: (
        (0.40, 0.74, 0.1, -0.9, 0.08, 0.06),
        (0.29, 0.64, 0.2, -0.7, 0.08, 0.10),
        (0.37, 0.57, 0.1, -0.5, 0.06, 0.06),
    ),
    12: (
        (0.29, 0.80, 0.8, -0.8, 0.09, 0.08),
        (0.23, 0.67, 0.6, -1.0, 0.10, 0.10),
        (0.11, 0.52, 0.8, -0.4, 0.12, 0.12),
        (0.38, 0.88, 0.5, -0.3, 0.08, 0.06),
    ),
    14: (
        (0.30, 0.82, 0.8, -0.05, 0.08, 0.06),
        (0.15, 0.80, -0.3, 0.0, 0.07, 0.08),
        (0.27, 0.70, 0.3, -0.2, 0.08, 0.08),
    ),
    15: (
        (0.31, 0.84, 0.2, 0.9, 0.08, 0.07),
        (0.28, 0.92, 0.1, 0.7, 0.09, 0.08),
    ),
    17: (
        (0.44, 0.98, 0.0, -1.0, 0.12, 0.08),
        (0.44, 0.88, 0.0, -0.9, 0.10, 0.05),
        (0.33, 0.86, 0.0, 0.2, 0.06, 0.05),
    ),
    20: (
        (0.30, 0.83, 1.0, 0.15, 0.09, 0.07),
        (0.20, 0.86, 0.7, 0.15, 0.10, 0.08),
    ),
    23: (
        (0.32, 0.82, -0.6, 0.0, 0.07, 0.05),
        (0.44, 0.77, 0.0, 0.3, 0.08, 0.04),
        (0.44, 0.87, 0.0, -0.4, 0.08, 0.04),
    ),
    24: (
        (0.44, 0.77, 0.0, 0.6, 0.10, 0.04),
        (0.44, 0.88, 0.0, -0.7, 0.10, 0.04),
    ),
    25: (
        (0.45, 0.90, 0.0, 0.8, 0.12, 0.05),
        (0.45, 0.77, 0.0, -0.2, 0.10, 0.04),
    ),
    26: (
        (0.42, 1.00, 0.0, 1.0, 0.18, 0.10),
        (0.45, 0.90, 0.0, 0.9, 0.13, 0.06),
        (0.33, 0.86, -0.1, 0.5, 0.08, 0.06),
        (0.42, 1.20, 0.0, 1.0, 0.20, 0.10),
    ),
    BLINK: (
        (0.22, 0.215, 0.0, 1.0, 0.10, 0.03),
        (0.22, 0.285, -0.15, -0.2, 0.10, 0.03),
    ),
}

# What coded clips of CASME II say against TABLE: AU 15 pulls the cheek beside the corner outward, AU 14 out and up,
# AU 9 lowers the brow's root first, AU 7 is mostly the upper lid, AU 10 opens the fold beside the nose, AU 12 lifts the
# corner and draws the cheek outward. The rows were fitted to the mean flow per Action Unit, an aggregate; no sample was
# used.
CORRECTED: Table = TABLE | {
    6: (
        (0.24, 0.52, 0.1, -0.5, 0.10, 0.08),
        (0.22, 0.24, 0.0, 0.5, 0.10, 0.035),
        (0.06, 0.18, -0.4, 0.2, 0.07, 0.05),
        (0.14, 0.66, 0.0, -0.4, 0.12, 0.09),
    ),
    7: (
        (0.22, 0.22, 0.0, 0.8, 0.12, 0.04),
        (0.24, 0.30, -0.2, -0.45, 0.08, 0.03),
        (0.20, 0.47, -0.35, 0.0, 0.12, 0.10),
    ),
    9: (
        (0.45, 0.08, -0.1, 1.0, 0.09, 0.10),
        (0.22, 0.06, -0.2, 0.5, 0.12, 0.08),
        (0.30, 0.47, 0.0, -0.5, 0.10, 0.10),
        (0.40, 0.54, 0.0, -0.7, 0.06, 0.08),
    ),
    10: (
        (0.27, 0.58, 0.6, -0.5, 0.06, 0.07),
        (0.36, 0.52, 0.4, -0.3, 0.07, 0.05),
        (0.40, 0.74, 0.1, -0.7, 0.09, 0.06),
        (0.17, 0.64, 0.1, -0.4, 0.12, 0.10),
    ),
    12: (
        (0.28, 0.82, 0.25, -0.9, 0.07, 0.11),
        (0.14, 0.72, 0.05, -1.2, 0.09, 0.07),
        (0.08, 0.53, 0.8, 0.0, 0.11, 0.09),
        (0.38, 0.90, 0.05, -0.45, 0.06, 0.06),
    ),
    14: (
        (0.26, 0.80, 0.9, -0.6, 0.07, 0.07),
        (0.12, 0.68, 0.6, 0.1, 0.09, 0.08),
        (0.33, 0.90, 0.4, -0.5, 0.07, 0.07),
    ),
    15: (
        (0.16, 0.72, 0.9, 0.4, 0.10, 0.07),
        (0.26, 0.79, 0.25, 0.9, 0.08, 0.07),
        (0.36, 0.84, -0.4, 0.3, 0.05, 0.06),
    ),
}

Shares = tuple[tuple[tuple[int, ...], float], ...]
Combinations = dict[str, Shares]
# class: (Action Units that move together, relative weight)
COMBINATIONS: Combinations = {
    "negative": (
        ((4,), 0.28), ((4, 7), 0.16), ((14,), 0.07), ((10,), 0.05), ((17,), 0.06), ((4, 9), 0.04), ((15,), 0.05),
        ((15, 17), 0.04), ((1, 4), 0.04), ((7,), 0.04), ((9,), 0.03), ((4, 10), 0.03), ((24,), 0.02), ((4, 17), 0.03),
        ((20,), 0.02), ((23,), 0.02), ((4, 5), 0.02), ((14, 17), 0.02), ((4, 7, 9), 0.02), ((4, 7, 10), 0.01),
        ((9, 10), 0.01), ((7, 10), 0.01), ((1, 2, 4), 0.01), ((7, 20), 0.01), ((17, 24), 0.01), ((17, 23), 0.01),
    ),
    "positive": (
        ((12,), 0.57), ((6, 12), 0.24), ((12, 14), 0.05), ((12, 25), 0.05), ((6, 12, 25), 0.02), ((6,), 0.02),
        ((6, 7, 12), 0.03), ((7, 12), 0.02),
    ),
    "surprise": (
        ((1, 2), 0.54), ((1, 2, 5), 0.14), ((2,), 0.12), ((1,), 0.06), ((1, 2, 25), 0.05), ((5,), 0.03), ((25,), 0.03),
        ((26,), 0.01), ((2, 5), 0.02),
    ),
}  # fmt: skip
# How often coders saw them in CASME II, smoothed with COMBINATIONS: an aggregate that flow sets are drawn with.
CODED: Combinations = {
    "negative": (
        ((4, 7), 0.20), ((4,), 0.20), ((17,), 0.12), ((4, 10), 0.08), ((15,), 0.06), ((15, 17), 0.06), ((4, 17), 0.04),
        ((4, 9), 0.04), ((10,), 0.04), ((14,), 0.04), ((9,), 0.03), ((7,), 0.03), ((4, 7, 10), 0.03), ((4, 7, 9), 0.03),
        ((1, 4), 0.03), ((12, 15), 0.02), ((4, 6, 7), 0.02), ((6, 7), 0.02), ((20,), 0.01), ((24,), 0.01),
        ((4, 5), 0.01), ((14, 17), 0.01),
    ),
    "positive": (
        ((12,), 0.62), ((6, 12), 0.18), ((14,), 0.05), ((12, 14), 0.04), ((12, 15), 0.03), ((12, 25), 0.03),
        ((12, 17), 0.02), ((6,), 0.02), ((1, 12), 0.01),
    ),
    "surprise": (
        ((1, 2), 0.58), ((1, 2, 5), 0.10), ((1,), 0.10), ((2,), 0.08), ((1, 2, 25), 0.05), ((25,), 0.04), ((26,), 0.03),
        ((5,), 0.02),
    ),
}  # fmt: skip
# The five classes of CASME II that MERAU is trained on, and the four of CASME that it then learns from few samples.
SOURCE: Combinations = {
    "happiness": COMBINATIONS["positive"],
    "disgust": (
        ((4,), 0.2), ((4, 7), 0.2), ((9,), 0.1), ((4, 9), 0.12), ((10,), 0.1), ((4, 10), 0.08), ((7,), 0.08),
        ((4, 7, 9), 0.06), ((9, 10), 0.03), ((4, 7, 10), 0.03),
    ),
    "surprise": COMBINATIONS["surprise"],
    "repression": (
        ((15,), 0.22), ((17,), 0.28), ((15, 17), 0.16), ((14, 17), 0.08), ((12, 15), 0.08), ((12, 17), 0.1),
        ((24,), 0.08),
    ),
    "others": (
        ((4,), 0.42), ((4, 7), 0.22), ((14,), 0.14), ((4, 14), 0.06), ((1, 4), 0.06), ((20,), 0.03), ((4, 5), 0.03),
        ((23,), 0.04),
    ),
}  # fmt: skip
TARGET: Combinations = {
    "tense": (((4,), 0.36), ((4, 7), 0.28), ((7,), 0.14), ((4, 5), 0.08), ((23,), 0.06), ((4, 23), 0.08)),
    "disgust": SOURCE["disgust"][2:],
    "repression": SOURCE["repression"],
    "surprise": COMBINATIONS["surprise"],
}


@dataclass(frozen=True)
class Bumps:
    """The B bumps of both sides as arrays, float64 in crop fractions.

    Leading dimensions `...` are samples.

    Attributes:
        move: (B,) index into MOVES.
        side: (B,) index into SIDES.
        centre: (..., B, 2).
        direction: (..., B, 2), right and down positive.
        width: (..., B, 2).
    """

    move: np.ndarray
    side: np.ndarray
    centre: np.ndarray
    direction: np.ndarray
    width: np.ndarray


def from_table(table: Table) -> Bumps:
    """Return the bumps of `table` on both sides."""
    rows = [(i, bump) for i, move in enumerate(MOVES) for bump in table[move]]
    move = np.array([i for i, _ in rows])
    bump = np.array([b for _, b in rows])
    left = bump * (1, 1, -1, 1, 1, 1)  # outward is towards image left on the left half
    right = np.column_stack([1 - bump[:, 0], bump[:, 1:]])
    both = np.concatenate([left, right])
    side = np.repeat([0, 1], len(rows))
    return Bumps(np.tile(move, 2), side, both[:, 0:2], both[:, 2:4], both[:, 4:6])


BUMPS = from_table(TABLE)


@dataclass(frozen=True)
class Sampled:
    """How one face moves, sampled on a grid of the standard layout.

    Attributes:
        xs: (W,) evenly spaced columns, crop fractions.
        ys: (H,) evenly spaced rows.
        moves: (18, 2, 2, H, W) float32, MOVES on each side, right and down positive.
    """

    xs: np.ndarray
    ys: np.ndarray
    moves: np.ndarray


Skin = Bumps | Sampled


@dataclass(frozen=True)
class Variation:
    """How faces differ from the table and from each other.

    Attributes:
        position_sd: Standard deviation of positions, crop fractions.
        width_sigma: Sigma of lognormal factors of widths.
        direction_sigma: Sigma of lognormal factors of directions.
        gain_sigma: Sigma of lognormal factors of each Action Unit.
    """

    position_sd: float = 0.025
    width_sigma: float = 0.25
    direction_sigma: float = 0.25
    gain_sigma: float = 0.35


def perturb(
    rng: np.random.Generator, samples: int | None, variation: Variation = Variation(), bumps: Bumps = BUMPS
) -> Bumps:
    """Draw the table of `samples` different faces, Bumps (samples, B, 2), from that of the mean face, `bumps`.

    None draws one face, (B, 2).
    """
    leading = () if samples is None else (samples,)
    shape = (*leading, *bumps.centre.shape)
    gain = np.exp(rng.normal(0, variation.gain_sigma, (*leading, len(MOVES))))[..., bumps.move, None]
    return Bumps(
        bumps.move,
        bumps.side,
        bumps.centre + rng.normal(0, variation.position_sd, shape),
        bumps.direction * np.exp(rng.normal(0, variation.direction_sigma, shape)) * gain,
        bumps.width * np.exp(rng.normal(0, variation.width_sigma, shape)),
    )


def weights(intensities: Mapping[tuple[int, str], float]) -> np.ndarray:
    """Return {(au, side): intensity} as an array (len(MOVES), 2) float64.

    `displacement` and `field` take it.

    Raises KeyError for an Action Unit or side that the table does not have.
    """
    array = np.zeros((len(MOVES), len(SIDES)))
    for (move, side), intensity in intensities.items():
        if move not in TABLE or side not in SIDES:
            raise KeyError(f"no Action Unit {move!r} on side {side!r}: units {MOVES}, sides {SIDES}")
        array[MOVES.index(move), SIDES.index(side)] = intensity
    return array


def displacement(
    points: np.ndarray, intensities: Mapping[tuple[int, str], float] | np.ndarray, skin: Skin = BUMPS
) -> np.ndarray:
    """Return the displacement (..., 2) of `points` (..., 2), right and down positive.

    Args:
        points: Crop fractions.
        intensities: {(au, side): value}, or an array (..., len(MOVES), 2).
        skin: How the face moves. Leading dimensions of Bumps and `intensities` are samples and broadcast against those
            of `points` except its last but one: points (P, 2) with bumps of N samples give (N, P, 2).

    Returns:
        Displacements in the unit of `intensities`.
    """
    if isinstance(skin, Sampled):
        return _sample(points, intensities, skin)
    gain = _gain(intensities, skin)  # (..., B, 2)
    used = np.flatnonzero(np.any(gain, axis=(*range(gain.ndim - 2), -1)))
    centre, width = skin.centre[..., used, :], skin.width[..., used, :]
    z = (points[..., :, None, :] - centre[..., None, :, :]) / width[..., None, :, :]  # (..., P, B, 2)
    return np.asarray(np.exp(-0.5 * np.sum(z * z, axis=-1)) @ gain[..., used, :])


def field(
    xs: np.ndarray,
    ys: np.ndarray,
    intensities: Mapping[tuple[int, str], float] | np.ndarray,
    skin: Skin = BUMPS,
) -> np.ndarray:
    """Return the displacement (..., 2, H, W) on a grid.

    The grid has columns `xs` (W,) and rows `ys` (H,), crop fractions.

    Because the bumps are separable, it takes two matrix products a sample instead of an exponential for each pixel.
    With Bumps `xs` and `ys` may have leading sample dimensions of their own, (N, W) and (N, H). Other arguments as in
    `displacement`.
    """
    if isinstance(skin, Sampled):
        return np.moveaxis(_sample(np.stack(np.meshgrid(xs, ys), axis=-1), intensities, skin), -1, 0)
    gain = _gain(intensities, skin)
    used = np.flatnonzero(np.any(gain, axis=(*range(gain.ndim - 2), -1)))
    centre, width, gain = skin.centre[..., used, :], skin.width[..., used, :], gain[..., used, :]
    along_x = np.exp(-0.5 * ((xs[..., None, :] - centre[..., 0, None]) / width[..., 0, None]) ** 2)  # (..., B, W)
    along_y = np.exp(-0.5 * ((ys[..., None, :] - centre[..., 1, None]) / width[..., 1, None]) ** 2)  # (..., B, H)
    scaled = np.swapaxes(gain, -1, -2)[..., None] * along_y[..., None, :, :]  # (..., 2, B, H)
    return np.asarray(np.swapaxes(scaled, -1, -2) @ along_x[..., None, :, :])


def _sample(points: np.ndarray, intensities: Mapping[tuple[int, str], float] | np.ndarray, skin: Sampled) -> np.ndarray:
    """Return the displacement (..., 2) of `points` (..., 2) by one face's fields."""
    total = np.ascontiguousarray(np.moveaxis(np.tensordot(_array(intensities), skin.moves, axes=2), 0, -1), np.float32)
    first = np.array([skin.xs[0], skin.ys[0]])
    step = np.array([skin.xs[1] - skin.xs[0], skin.ys[1] - skin.ys[0]])
    at = ((points - first) / step).reshape(-1, 1, 2).astype(np.float32)
    moved = [
        cv2.remap(total, part, np.empty(0, np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        for part in np.array_split(at, -(-len(at) // MOST_ROWS))
    ]
    return np.concatenate(moved).reshape(points.shape)


def _gain(intensities: Mapping[tuple[int, str], float] | np.ndarray, bumps: Bumps) -> np.ndarray:
    array = _array(intensities)
    return np.asarray(array[..., bumps.move, bumps.side, None] * bumps.direction)


def _array(intensities: Mapping[tuple[int, str], float] | np.ndarray) -> np.ndarray:
    return intensities if isinstance(intensities, np.ndarray) else weights(intensities)
