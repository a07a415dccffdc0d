"""Cut a steady crop per track: the head is held still, the skin is left free to move.

Landmarks are never smoothed: a filter lags behind the head, and its lag looks like facial motion. Instead, each frame's
raw mesh is fitted to the person's own mean shape by the least-squares similarity of all points. The head motion that
remains is removed from the flow afterwards (`engine.flow.remove_global_motion`).
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from merau.engine.crop import CropSpec, apply, compose, crop_face, layout_transform, similarity
from merau.engine.validation import check_range
from merau.stream.coding_noise import CodingSmoother
from merau.stream.faces import Face, Quality
from merau.stream.light import LightEvener
from merau.stream.sources import Frame
from merau.stream.sources.colour import BT601, Luma

WORST_FLICKER = 0.2  # from here on bright skin is cut off at white, which no evening restores


@dataclass(frozen=True)
class Crop:
    """The aligned picture of one face in one frame.

    Attributes:
        track_id: Track of the face.
        t_s: Time of the frame on the source's clock, or the mean of those that `grey` is the mean of.
        index: Index of the frame.
        image: (H, W, 3) uint8 BGR, of size `CropSpec.full`.
        grey: (H, W) uint8, the luma that the frame was coded by, with flickering light evened out. Where the
            frames are coded coarsely, it is a mean of several.
        matrix: (2, 3) float64, maps frame px to full-crop px.
        landmarks: (468, 2) float32, full-crop px.
        quality: Quality of the face, lower where the light flickers.
        flicker: 0 to 1, amplitude of the light's flicker, which `grey` is free of; 0 while the light is steady.
    """

    track_id: int
    t_s: float
    index: int
    image: np.ndarray
    grey: np.ndarray
    matrix: np.ndarray
    landmarks: np.ndarray
    quality: Quality
    flicker: float = 0.0


@dataclass(frozen=True)
class AlignSettings:
    """How crops are aligned.

    Attributes:
        crop: Layout of the crops.
        shape_memory_s: Time constant of the person's mean shape; long, so that an expression does not enter it.
    """

    crop: CropSpec = CropSpec()
    shape_memory_s: float = 20.0

    def __post_init__(self) -> None:
        check_range(self, "shape_memory_s", above=0)


class Aligner:
    """Keep the mean shape of one track and cut its crops."""

    def __init__(self, settings: AlignSettings | None = None):
        self.settings = settings or AlignSettings()
        self._shape: np.ndarray | None = None  # (468, 2) float64, px of the first frame
        self._age_s = 0.0
        self._last_s = 0.0
        self._light = LightEvener()
        self._smoother = CodingSmoother()

    def crop(self, frame: Frame, face: Face) -> Crop:
        """Cut the crop of `face` in `frame`. Call it once for each analysed frame, in order of time."""
        points = face.landmarks[:, :2].astype(np.float64)
        if self._shape is None:
            self._shape, self._last_s = points, frame.t_s
        to_shape = similarity(points, self._shape)
        self._update_shape(apply(to_shape, points), frame.t_s)
        spec = self.settings.crop
        matrix = compose(layout_transform(self._shape, spec), to_shape)
        image = crop_face(frame.image, matrix, spec)
        grey = self._light.even(_luma(image, frame.luma), matrix, frame.t_s)
        grey, t_s = self._without_coding_noise(grey, frame)
        landmarks = apply(matrix, points).astype(np.float32)
        flicker = self._light.flicker
        quality = _under_flicker(face.quality, flicker) if flicker else face.quality
        return Crop(face.track_id, t_s, frame.index, image, grey, matrix, landmarks, quality, flicker)

    def _without_coding_noise(self, grey: np.ndarray, frame: Frame) -> tuple[np.ndarray, float]:
        if frame.coarse:
            return self._smoother.smooth(grey, frame.t_s)
        self._smoother.restart()
        return grey, frame.t_s

    def _update_shape(self, aligned: np.ndarray, t_s: float) -> None:
        step_s = t_s - self._last_s
        self._age_s, self._last_s = self._age_s + step_s, t_s
        weight = step_s / max(min(self._age_s, self.settings.shape_memory_s), 1e-3)
        self._shape += min(weight, 0.5) * (aligned - self._shape)


def _luma(image: np.ndarray, weights: Luma) -> np.ndarray:
    """The luma that `image` was coded by: other weights would add the noise of its coarser colours."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if weights == BT601 else cv2.transform(image, np.array([weights]))
    return np.asarray(grey)


def _under_flicker(quality: Quality, flicker: float) -> Quality:
    return replace(quality, score=min(quality.score, max(1 - flicker / WORST_FLICKER, 0.0)))
