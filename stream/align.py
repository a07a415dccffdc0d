"""A steady crop per track: the head is held still, the skin is left free to move.

Landmarks are never smoothed: a filter lags behind the head and its lag looks like facial motion. Each frame's raw mesh
is laid onto the person's own mean shape by the least-squares similarity of all points; what head motion is left is
taken out of the flow afterwards (`engine.flow.remove_global_motion`).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from merau.engine.crop import CropSpec, apply, compose, cut, layout_transform, similarity
from merau.engine.errors import UserError
from merau.stream.faces import Face, Quality
from merau.stream.sources import Frame


@dataclass(frozen=True)
class Crop:
    """One face in one frame, held in place. `matrix` maps frame pixels to full-crop pixels."""

    track_id: int
    t_s: float
    index: int
    image: np.ndarray  # (H, W, 3) uint8 BGR, CropSpec.full
    grey: np.ndarray  # (H, W) uint8, the same
    matrix: np.ndarray  # (2, 3) float64
    landmarks: np.ndarray  # (468, 2) float32, full-crop pixels
    quality: Quality


@dataclass(frozen=True)
class AlignSettings:
    """`shape_memory_s`: time constant of the person's mean shape; long, so that an expression does not enter it."""

    crop: CropSpec = CropSpec()
    shape_memory_s: float = 20.0

    def __post_init__(self) -> None:
        if not self.shape_memory_s > 0:
            raise UserError(f"AlignSettings.shape_memory_s is {self.shape_memory_s}: choose a time above 0 s.")


class Aligner:
    """Holds one track's mean shape and cuts its crops."""

    def __init__(self, settings: AlignSettings | None = None):
        self.settings = settings or AlignSettings()
        self._shape: np.ndarray | None = None  # (468, 2) float64, pixels of the frame that began the track
        self._age_s = 0.0
        self._last_s = 0.0

    def crop(self, frame: Frame, face: Face) -> Crop:
        """The crop of `face` in `frame`; call once per analysed frame, in order of time."""
        points = face.landmarks[:, :2].astype(np.float64)
        if self._shape is None:
            self._shape, self._last_s = points, frame.t_s
        to_shape = similarity(points, self._shape)
        self._learn(apply(to_shape, points), frame.t_s)
        spec = self.settings.crop
        matrix = compose(layout_transform(self._shape, spec), to_shape)
        image = cut(frame.image, matrix, spec)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        landmarks = apply(matrix, points).astype(np.float32)
        return Crop(face.track_id, frame.t_s, frame.index, image, grey, matrix, landmarks, face.quality)

    def _learn(self, aligned: np.ndarray, t_s: float) -> None:
        step_s = t_s - self._last_s
        self._age_s, self._last_s = self._age_s + step_s, t_s
        weight = step_s / max(min(self._age_s, self.settings.shape_memory_s), 1e-3)
        self._shape += min(weight, 0.5) * (aligned - self._shape)
