"""Faces whose skin is a warp between control points: a geometry that is neither a table of bumps nor a scan.

Each Action Unit moves some control points and holds the others; radial basis functions interpolate between them. The
motion reaches further than a bump and bends around what is held. So it is foreign to whatever learned the others.
"""

import numpy as np

from merau.trainers.data.synth.action_units import BLINK, MOVES, Bumps

# Control points of the warps on image left and the middle line, crop fractions.
POINTS = {
    "inner brow": (0.40, 0.08), "brow": (0.24, 0.04), "outer brow": (0.08, 0.08), "forehead": (0.50, -0.06),
    "temple": (-0.05, 0.22), "upper lid": (0.22, 0.215), "lower lid": (0.22, 0.285), "inner corner": (0.33, 0.26),
    "outer corner": (0.10, 0.26), "nose root": (0.50, 0.22), "nose tip": (0.50, 0.58), "nose wing": (0.40, 0.56),
    "upper cheek": (0.20, 0.38), "cheek": (0.14, 0.54), "fold": (0.30, 0.66), "mouth corner": (0.32, 0.82),
    "upper lip": (0.43, 0.765), "lower lip": (0.43, 0.885), "chin": (0.46, 1.04), "chin side": (0.34, 1.00),
    "jaw": (0.12, 0.90), "ear": (-0.06, 0.60),
}  # fmt: skip
# How far each unit moves its control points: lateral (outward +), vertical (down +). All others are held.
WARPS: dict[int, dict[str, tuple[float, float]]] = {
    1: {"inner brow": (-0.1, -1.0), "brow": (0.0, -0.4), "forehead": (0.0, -0.5)},
    2: {"outer brow": (0.1, -1.0), "brow": (0.0, -0.8)},
    4: {"inner brow": (-0.7, 0.8), "brow": (-0.35, 0.6), "outer brow": (-0.1, 0.25), "nose root": (0.0, 0.3)},
    5: {"upper lid": (0.0, -0.9)},
    6: {"upper cheek": (0.15, -0.7), "cheek": (0.1, -0.5), "outer corner": (-0.3, 0.0), "lower lid": (0.0, -0.3)},
    7: {"lower lid": (-0.1, -0.5), "upper lid": (0.0, 0.5)},
    9: {"nose wing": (0.0, -0.8), "nose root": (0.0, 0.4), "inner brow": (-0.15, 0.6), "fold": (0.0, -0.5)},
    10: {"upper lip": (0.05, -0.9), "fold": (0.2, -0.7), "nose wing": (0.1, -0.4)},
    12: {"mouth corner": (0.8, -0.8), "fold": (0.6, -0.8), "cheek": (0.4, -0.5), "lower lip": (0.4, -0.2)},
    14: {"mouth corner": (0.8, -0.1), "fold": (0.3, -0.2), "jaw": (-0.2, 0.0)},
    15: {"mouth corner": (0.2, 0.9), "chin side": (0.1, 0.6), "fold": (0.1, 0.2)},
    17: {"chin": (0.0, -1.0), "lower lip": (0.0, -0.8)},
    20: {"mouth corner": (1.0, 0.15), "jaw": (0.4, 0.1), "lower lip": (0.3, 0.0)},
    23: {"mouth corner": (-0.6, 0.0), "upper lip": (0.0, 0.3), "lower lip": (0.0, -0.4)},
    24: {"upper lip": (0.0, 0.6), "lower lip": (0.0, -0.7)},
    25: {"lower lip": (0.0, 0.8), "upper lip": (0.0, -0.2), "chin": (0.0, 0.4)},
    26: {"chin": (0.0, 1.0), "chin side": (0.0, 0.9), "lower lip": (0.0, 0.95), "mouth corner": (-0.1, 0.5)},
    BLINK: {"upper lid": (0.0, 1.0), "lower lid": (-0.1, -0.2)},
}
REACH = 0.11  # width of the radial basis functions, crop fractions
POINT_SD = 0.012  # of a person's control points
SMOOTHING = 1e-2  # ridge of the interpolation: keeps neighbouring points from pulling against each other


def draw_warp(rng: np.random.Generator) -> Bumps:
    """Draw one person: solve for the bumps (B, 2) that move its control points as `WARPS` says."""
    left = np.array(list(POINTS.values())) + rng.normal(0, POINT_SD, (len(POINTS), 2))
    apart = left[:, 0] < 0.45  # the others lie on the middle line, where left and right are one
    centre = np.concatenate([left, left[apart] * (-1, 1) + (1, 0)])
    squared = ((centre[:, None] - centre) ** 2).sum(-1)
    kernel = np.exp(-0.5 * squared / REACH**2) + SMOOTHING * np.eye(len(centre))
    wanted = np.zeros((len(MOVES), len(centre), 2))
    for move, points in WARPS.items():
        for name, (lateral, vertical) in points.items():
            wanted[MOVES.index(move), list(POINTS).index(name)] = -lateral, vertical  # outward is towards image left
    direction = np.linalg.solve(kernel, wanted)  # (moves, points, 2)
    count = len(MOVES)
    both = np.concatenate([direction, direction * (-1, 1)]).reshape(-1, 2)
    at = np.concatenate([np.tile(centre, (count, 1)), np.tile(centre * (-1, 1) + (1, 0), (count, 1))])
    index = np.tile(np.repeat(np.arange(count), len(centre)), 2)
    return Bumps(index, np.repeat([0, 1], count * len(centre)), at, both, np.full_like(at, REACH))
