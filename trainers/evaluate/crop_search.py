"""Search of the crop that a database used, from its flow alone.

No label is looked at.

Every database crops faces in its own way: tighter, wider, squeezed, higher. The flow of all its samples is tried in 75
crop transformations (scale, aspect, shift). They are averaged, weighted by how clearly the bundle then sees expressions
and by closeness to the layout of `engine.crop`. Shipped heads are linear in the embedding, so one weighted mean of
embeddings stands for all of them.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from merau.trainers.data.flow_set import transform_flow

SCALES = (0.8, 0.9, 1.0, 1.12, 1.25)  # across, and the same down
SHIFTS = (-0.06, 0.0, 0.06)  # down, in crop widths
TRANSFORMATIONS = tuple(product(SCALES, SCALES, SHIFTS))
DEVIATION = np.array(
    [(np.log([across, down]) ** 2).sum() / 0.11**2 + (drop / 0.06) ** 2 for across, down, drop in TRANSFORMATIONS]
)  # from the usual layout, in squared standard deviations
DEVIATION_COST = 0.005  # clarity that a transformation loses by one unit of DEVIATION
SOFTMAX_SCALE = 0.02  # difference in clarity that changes a weight e-fold
FEW = 20  # with so many samples clarity counts half

Trunk = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def embed_over_crops(
    flow: np.ndarray, trunk: Trunk, clarity: Callable[[np.ndarray], float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return embedding and Action Unit logits, averaged over all crops.

    They are (N, d) and (N, A), of one database.

    Args:
        flow: The flow of all samples of the database, (N, 2, 32, 32).
        trunk: Gives embedding and logits of flow.
        clarity: How clearly embeddings show expressions, 0..1.
    """
    outputs = [trunk(transform_flow(flow, *transformation)) for transformation in TRANSFORMATIONS]
    clear = np.array([clarity(embedding) for embedding, _ in outputs]) * len(flow) / (len(flow) + FEW)
    score = (clear - clear.max() - DEVIATION_COST * DEVIATION) / SOFTMAX_SCALE
    weight = (np.exp(score) / np.exp(score).sum()).astype(np.float32)
    embedding, units = (np.tensordot(weight, np.stack(parts), 1) for parts in zip(*outputs, strict=True))
    return embedding, units
