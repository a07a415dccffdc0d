"""Clips of one length and size, from the strips of a flow set."""

import numpy as np
from torch import Tensor

from merau.engine.clip import ClipSpec
from merau.trainers.baselines.frames import read_strips
from merau.trainers.data.flow_set import FlowSet


def read_clips(data: FlowSet, name: str, *, frames: int, size_px: int) -> np.ndarray:
    """Return the grey frames of every sample for the model `name`, (N, frames, size_px, size_px) float32 in 0..1.

    TIM brings all clips to the same number of frames. Raises UserError where the set has no frames.
    """
    return ClipSpec(frames, size_px).inputs(read_strips(data, name))["clip"]


def subtract_onset(clip: Tensor) -> Tensor:
    """Return clips (N, T, S, S) less their first frame, of unit spread: they show what changes."""
    moved = clip - clip[:, :1]
    return moved / moved.std((1, 2, 3), correction=0, keepdim=True).clamp(min=1e-5)


def normalize(clip: Tensor) -> Tensor:
    """Return clips (N, T, S, S) of mean 0 and spread 1."""
    centred = clip - clip.mean((1, 2, 3), keepdim=True)
    return centred / centred.std((1, 2, 3), correction=0, keepdim=True).clamp(min=1e-3)
