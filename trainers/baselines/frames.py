"""Strips of frames of a flow set's samples.

A strip holds square grey crops one above the other, onset first, apex last.
"""

import cv2
import numpy as np

from merau.engine.errors import UserError
from merau.trainers.data.flow_set import FlowSet


def read_strip(path: str) -> np.ndarray:
    """Return the frames (T, S, S) uint8 of one strip.

    Raises UserError where `path` is not a strip.
    """
    strip = cv2.imread(path, cv2.IMREAD_GRAYSCALE) if path else None
    if strip is None or strip.shape[0] % strip.shape[1]:
        raise UserError(f"{path or 'frames_png'} is not a strip of square frames: expected T S x S pixels.")
    return np.asarray(strip.reshape(-1, strip.shape[1], strip.shape[1]))


def read_strips(data: FlowSet, model: str) -> list[np.ndarray]:
    """Return the frames of every sample for `model`.

    Raises UserError where the set has none.
    """
    if not all(data.frames):
        raise UserError(f"{model} needs frames, and this flow set has no column frames_png for every sample.")
    return [read_strip(path) for path in data.frames]


def normalized_apexes(data: FlowSet, model: str, *, size_px: int) -> np.ndarray:
    """Return the apex frame of every sample, each of mean 0 and spread 1.

    The result is (N, 1, size_px, size_px) float32.
    """
    frames = [
        cv2.resize(strip[-1], (size_px, size_px), interpolation=cv2.INTER_AREA) for strip in read_strips(data, model)
    ]
    images = np.stack(frames).astype(np.float32)[:, None]
    images -= images.mean((2, 3), keepdims=True)
    return np.asarray(images / np.maximum(images.std((2, 3), keepdims=True), 1))
