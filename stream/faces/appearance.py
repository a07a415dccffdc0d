"""Who is who: what a face looks like, just well enough to tell apart the few people before one camera.

No face recognition: nothing here says who somebody is, or is kept when the track ends.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from merau.engine.face_mesh import head_axes

GREY_PX = 16
# Points that stay in place through expressions: the eyes' corners, the bridge and base of the nose, the outline
# of the forehead and the cheeks.
BONE = np.array(
    [33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 98, 327, 2, 151, 9, 8, 55, 285, 10, 109, 338, 67, 297, 103, 332]
    + [54, 284, 21, 251, 162, 389, 127, 356, 234, 454, 93, 323]
)
# Each cue in units in which one person's varies by a few tenths; measured on 16 people, two of them on film.
GREY_SCALE, COLOUR_SCALE, SHAPE_SCALE = 0.3, 0.2, 0.1
MOST_COLOUR = 1.2  # a lamp switched on changes the colour of everybody
CERTAIN_LOOK = 1.0  # one person's looks are nearly always this close
SAME_LOOK = 1.6  # and two people's nearly never
STRANGE_LOOK = 2.2  # not one person's, unless something is before the face


@dataclass(frozen=True)
class Look:
    """grey: (256,) float32, the 16 x 16 px grey face, mean 0, length 1. colour: (2,) float32, log blue and log red over
    green. shape: (114,) float32, x, y, z of 38 bone points free of pose and size, of length 1.
    """

    grey: np.ndarray
    colour: np.ndarray
    shape: np.ndarray

    def distance(self, other: "Look") -> float:
        """How far apart two looks are, on the scale of CERTAIN_LOOK, SAME_LOOK and STRANGE_LOOK."""
        grey = 1 - float(self.grey @ other.grey)
        colour, shape = self.colour - other.colour, self.shape - other.shape
        apart = math.sqrt(colour @ colour) / COLOUR_SCALE
        return grey / GREY_SCALE + min(apart, MOST_COLOUR) + math.sqrt(shape @ shape) / SHAPE_SCALE

    def drifted(self, towards: "Look", share: float) -> "Look":
        """This look with a share of another mixed in: a running mean."""
        return Look(
            _unit(self.grey + share * (towards.grey - self.grey)),
            self.colour + share * (towards.colour - self.colour),
            self.shape + share * (towards.shape - self.shape),
        )


def look(thumb: np.ndarray, landmarks: np.ndarray) -> Look:
    """The look of a (64, 64, 3) uint8 thumbnail and its (468, 3) landmarks."""
    small = cv2.resize(thumb, (GREY_PX, GREY_PX), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).ravel().astype(np.float32)
    blue, green, red, _ = cv2.mean(small[4:14, 2:14])
    bones = landmarks[BONE] @ head_axes(landmarks).T.astype(np.float32)
    return Look(
        _unit(grey - grey.mean()),
        np.array([math.log((blue + 1) / (green + 1)), math.log((red + 1) / (green + 1))], np.float32),
        _unit((bones - bones.mean(axis=0)).ravel()),
    )


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(math.sqrt(vector @ vector), 1e-6)
