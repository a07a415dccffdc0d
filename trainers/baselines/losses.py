"""Losses of the survey's networks, as a setting of any of them.

Embeddings are (n, d), logits (n, C), labels (n,) integers; every loss is a mean over the batch.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

FOCUS = 2.0  # gamma of the focal loss
MARGIN = 1.0  # of triplet and contrastive loss, on embeddings of length 1
CENTRE_WEIGHT = 0.1  # of the center loss beside cross-entropy

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def cross_entropy(embedding: Tensor, logits: Tensor, label: Tensor) -> Tensor:
    """Return the cross-entropy."""
    return functional.cross_entropy(logits, label)


def focal(embedding: Tensor, logits: Tensor, label: Tensor) -> Tensor:
    """Return the focal loss (Lin et al., Focal Loss for Dense Object Detection, 2017, eq. 4), without alpha."""
    log_p = logits.log_softmax(1).gather(1, label[:, None])[:, 0]
    return -((1 - log_p.exp()) ** FOCUS * log_p).mean()


def center(embedding: Tensor, logits: Tensor, label: Tensor) -> Tensor:
    """Return cross-entropy plus the center loss (Wen et al., A Discriminative Feature Learning Approach, 2016, eq. 5).

    The centers are those of the batch, so that nothing is remembered between batches.
    """
    unit = functional.normalize(embedding)
    same = (label[:, None] == label).float()
    centres = same @ unit / same.sum(1, keepdim=True)
    return cross_entropy(embedding, logits, label) + CENTRE_WEIGHT * ((unit - centres) ** 2).sum(1).mean()


def triplet(embedding: Tensor, logits: Tensor, label: Tensor) -> Tensor:
    """Return cross-entropy plus the triplet loss (Schroff et al., FaceNet, 2015, eq. 3).

    For each sample the farthest of its class and the nearest of another are taken.
    """
    distance, same = distances(embedding, label)
    farthest = (distance * same).amax(1)
    nearest = (distance + 1e3 * same).amin(1)
    asked = (same.sum(1) > 1) & (same.sum(1) < len(label))
    return cross_entropy(embedding, logits, label) + ((farthest - nearest + MARGIN).clamp(min=0) * asked).mean()


def contrastive(embedding: Tensor, logits: Tensor, label: Tensor) -> Tensor:
    """Return cross-entropy plus the contrastive loss (Hadsell et al., Dimensionality Reduction, 2006, eq. 4)."""
    distance, same = distances(embedding, label)
    pairs = 1 - torch.eye(len(label))
    near = (same * distance) * pairs
    far = ((1 - same) * (MARGIN - distance.clamp(min=1e-9).sqrt()).clamp(min=0) ** 2) * pairs
    return cross_entropy(embedding, logits, label) + (near + far).sum() / pairs.sum().clamp(min=1) / 2


def distances(embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared distances between embeddings of length 1, and where labels agree as 0 or 1; both (n, n)."""
    unit = functional.normalize(embedding)
    return (2 - 2 * unit @ unit.T).clamp(min=0), (label[:, None] == label).float()


LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "focal": focal,
    "center": center,
    "triplet": triplet,
    "contrastive": contrastive,
}
