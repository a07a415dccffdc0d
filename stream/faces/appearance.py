"""Describe what a face looks like, just well enough to tell apart the few people before one camera.

This is no face recognition: a description does not identify a person, and it is dropped when the track ends.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from merau.engine.face_mesh import head_axes

GREY_PX = 16
# Landmarks that stay in place through expressions: the eyes' corners, the bridge and base of the nose, the outline
# of the forehead and the cheeks.
BONE = np.array(
    [33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 98, 327, 2, 151, 9, 8, 55, 285, 10, 109, 338, 67, 297, 103, 332]
    + [54, 284, 21, 251, 162, 389, 127, 356, 234, 454, 93, 323]
)
# Scales at which each cue varies by a few tenths for one person; measured on 16 people, two of them on video.
GREY_SCALE, COLOUR_SCALE, SHAPE_SCALE = 0.3, 0.2, 0.1
MAX_COLOUR_DISTANCE = 1.2  # a lamp that is switched on changes the colour of everybody
# Distances between two appearances.
CERTAIN_DISTANCE = 1.0  # one person is nearly always this close to their own mean
SAME_PERSON_DISTANCE = 1.6  # two people are nearly never this close
OTHER_PERSON_DISTANCE = 2.2  # one person is never this far, unless something covers the face


@dataclass(frozen=True)
class Appearance:
    """Colour and shape of a face.

    Attributes:
        grey: (256,) float32, the face at 16 x 16 px in grey, mean 0, length 1.
        colour: (2,) float32, logarithms of blue over green and of red over green.
        shape: (114,) float32, x, y, z of 38 bone landmarks, free of pose and size, length 1.
    """

    grey: np.ndarray
    colour: np.ndarray
    shape: np.ndarray

    def distance(self, other: "Appearance") -> float:
        """Distance to another appearance, on the scale of the three limits above."""
        grey = 1 - float(self.grey @ other.grey)
        colour, shape = self.colour - other.colour, self.shape - other.shape
        colour_distance = math.sqrt(colour @ colour) / COLOUR_SCALE
        return grey / GREY_SCALE + min(colour_distance, MAX_COLOUR_DISTANCE) + math.sqrt(shape @ shape) / SHAPE_SCALE

    def ema_update(self, newest: "Appearance", weight: float) -> "Appearance":
        """Exponential moving average: this appearance with a share `weight` of the newest one."""
        return Appearance(
            _normalised(self.grey + weight * (newest.grey - self.grey)),
            self.colour + weight * (newest.colour - self.colour),
            self.shape + weight * (newest.shape - self.shape),
        )


def describe(thumb: np.ndarray, landmarks: np.ndarray) -> Appearance:
    """Describe a face by its (64, 64, 3) uint8 thumbnail and its (468, 3) landmarks."""
    small = cv2.resize(thumb, (GREY_PX, GREY_PX), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).ravel().astype(np.float32)
    blue, green, red, _ = cv2.mean(small[4:14, 2:14])
    bones = landmarks[BONE] @ head_axes(landmarks).T.astype(np.float32)
    return Appearance(
        _normalised(grey - grey.mean()),
        np.array([math.log((blue + 1) / (green + 1)), math.log((red + 1) / (green + 1))], np.float32),
        _normalised((bones - bones.mean(axis=0)).ravel()),
    )


def _normalised(vector: np.ndarray) -> np.ndarray:
    return vector / max(math.sqrt(vector @ vector), 1e-6)
