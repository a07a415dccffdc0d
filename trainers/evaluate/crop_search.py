"""How the faces of a database lie in its pictures, told from the pictures alone: no label is looked at.

Every database has a crop of its own: tighter, wider, squeezed, higher. The flow of all its samples is tried in 75
placements, and each counts by how clearly the bundle then sees expressions in it, and how little it differs from the
layout of `engine.crop`. Shipped heads are linear in the embedding: its weighted mean speaks for all placements at once.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from merau.trainers.data.flow_set import transform_flow

ZOOMS = (0.8, 0.9, 1.0, 1.12, 1.25)  # across, and as many down
DROPS = (-0.06, 0.0, 0.06)  # how much lower, crop widths
PLACES = tuple(product(ZOOMS, ZOOMS, DROPS))
USUAL = np.array([(np.log([across, down]) ** 2).sum() / 0.11**2 + (drop / 0.06) ** 2 for across, down, drop in PLACES])
COST = 0.005  # in clarity, of a placement by its unit of USUAL
SHARP = 0.02  # clarity by which a placement counts e times as much
FEW = 20  # of so many samples clarity counts half

Trunk = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def embed(flow: np.ndarray, trunk: Trunk, clarity: Callable[[np.ndarray], float]) -> tuple[np.ndarray, np.ndarray]:
    """Embedding (N, d) and Action Unit logits (N, A) of one database's flow (N, 2, 32, 32) over all placements.

    `trunk` gives both for flows as they lie; `clarity` says of embeddings how clear expressions are in them, 0..1.
    """
    seen = [trunk(transform_flow(flow, *place)) for place in PLACES]
    clear = np.array([clarity(embedding) for embedding, _ in seen]) * len(flow) / (len(flow) + FEW)
    score = (clear - clear.max() - COST * USUAL) / SHARP
    weight = (np.exp(score) / np.exp(score).sum()).astype(np.float32)
    embedding, units = (np.tensordot(weight, np.stack(parts), 1) for parts in zip(*seen, strict=True))
    return embedding, units
