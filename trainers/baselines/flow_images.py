"""The pictures of a flow set as networks of the literature see them."""

import numpy as np
import torch
from torch import Tensor

from merau.trainers.evaluate.task import Task


def flow_images(task: Task) -> Tensor:
    """Return u, v and strain of every sample, (N, 3, 28, 28) float32 in 0..1.

    Each channel is scaled to its own range for each sample, as the flow set stores it.
    """
    return torch.from_numpy(np.ascontiguousarray(task.data.image[..., ::-1].transpose(0, 3, 1, 2), np.float32) / 255)
