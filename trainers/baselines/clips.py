"""Clips of one length and size, from the strips of a flow set."""

import cv2
import numpy as np

from merau.trainers.baselines.frames import read_strips
from merau.trainers.baselines.temporal_interpolation import interpolate_clip
from merau.trainers.data.flow_set import FlowSet


def read_clips(data: FlowSet, name: str, *, frames: int, size_px: int) -> np.ndarray:
    """Return the grey frames of every sample for the model `name`, (N, frames, size_px, size_px) float32 in 0..1.

    TIM brings all clips to the same number of frames. Raises UserError where the set has no frames.
    """
    clips = []
    for strip in read_strips(data, name):
        small = [cv2.resize(frame, (size_px, size_px), interpolation=cv2.INTER_AREA) for frame in strip]
        clips.append(interpolate_clip(np.stack(small), frames))
    return np.clip(np.stack(clips) / 255, 0, 1).astype(np.float32)


def clip_flow(clips: np.ndarray) -> np.ndarray:
    """Return Farneback's flow from the first to each frame of clips (N, T, S, S), (N, 2, T, S, S) float32 px.

    The movement between neighbouring frames of a micro-expression is below the method's noise.
    """
    flow = np.zeros((len(clips), 2, *clips.shape[1:]), np.float32)
    for sample, clip in zip(flow, np.round(255 * clips).astype(np.uint8), strict=True):
        for t in range(1, len(clip)):
            field = cv2.calcOpticalFlowFarneback(clip[0], clip[t], None, 0.5, 3, 9, 3, 5, 1.1, 0)
            sample[:, t] = field.transpose(2, 0, 1)
    return flow
