"""Frames of a flow set's samples: strips of square grey crops, onset first, apex last, one above the other."""

import cv2
import numpy as np

from merau.engine.errors import UserError
from merau.trainers.data.flow_set import FlowSet


def read_strip(path: str) -> np.ndarray:
    """(T, S, S) uint8. Raises UserError where `path` is no such strip."""
    strip = cv2.imread(path, cv2.IMREAD_GRAYSCALE) if path else None
    if strip is None or strip.shape[0] % strip.shape[1]:
        raise UserError(f"{path or 'frames_png'} is no strip of square frames, T S x S pixels.")
    return np.asarray(strip.reshape(-1, strip.shape[1], strip.shape[1]))


def strips(data: FlowSet, model: str) -> list[np.ndarray]:
    """The frames of every sample. Raises UserError where the set has none."""
    if not all(data.frames):
        raise UserError(f"{model} looks at frames, and this flow set has no column frames_png for every sample.")
    return [read_strip(path) for path in data.frames]


def apex_pictures(data: FlowSet, model: str, *, size_px: int) -> np.ndarray:
    """The apex frame of every sample, (N, 1, size_px, size_px) float32, of mean 0 and spread 1 each."""
    frames = [cv2.resize(strip[-1], (size_px, size_px), interpolation=cv2.INTER_AREA) for strip in strips(data, model)]
    pictures = np.stack(frames).astype(np.float32)[:, None]
    pictures -= pictures.mean((2, 3), keepdims=True)
    return pictures / np.maximum(pictures.std((2, 3), keepdims=True), 1)
