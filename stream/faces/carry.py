"""Carry a mesh on to the next frames without its net, for as long as the face looks the same.

The thumbnail of the face is registered with that of its last mesh, by translation, scale, rotation and light: inverse
compositional Gauss-Newton (Baker and Matthews 2004). What this leaves over anywhere in the face, such as a lid that
closes or a hand, asks for a new mesh at once. Landmarks are always carried from the last mesh, so nothing drifts.
"""

import math
from functools import cached_property

import cv2
import numpy as np

from merau.engine.crop import apply
from merau.engine.face_mesh import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Mesh
from merau.stream.faces.quality import THUMBNAIL_EYES_PX, THUMBNAIL_PX, thumbnail

MAX_CARRY_S = 0.1
MAX_CHANGE = 0.15  # mean grey difference of a block that is left over, in standard deviations of the face
BLOCK_PX = 4
MAX_CONTRAST_CHANGE = 0.2  # share; a blank picture differs from a face by contrast alone
MAX_TURN = 0.0025  # roll in radians, and growth as a share: what a fast head does from one frame to the next
NEAR_PX = 0.5  # a shorter step of the registration is the last
STEPS = 2
BORDER = BLOCK_PX  # px of the thumbnail in which the background may show
CENTRE_PX = (THUMBNAIL_PX - 1) / 2
DOWN, ACROSS = np.mgrid[:THUMBNAIL_PX, :THUMBNAIL_PX].astype(np.float32) - CENTRE_PX
INNER = np.pad(np.ones((THUMBNAIL_PX - 2 * BORDER,) * 2, np.float32), BORDER)


class MeshCarrier:
    """Carry one mesh on.

    Args:
        mesh: The mesh.
        thumb: (64, 64, 3) uint8, the thumbnail of its face.
        t_s: Time of its frame.
    """

    def __init__(self, mesh: Mesh, thumb: np.ndarray, t_s: float) -> None:
        self._mesh, self._thumb, self._t_s = mesh, thumb, t_s

    def carry(self, bgr: np.ndarray, start: np.ndarray, t_s: float) -> tuple[Mesh, np.ndarray] | None:
        """Find the face in a later frame.

        Args:
            bgr: (H, W, 3) uint8, the frame.
            start: (468, 3), about where the landmarks are.
            t_s: Time of the frame.

        Returns:
            The mesh and the thumbnail; None where the mesh is too old, or the face has changed or turned.
        """
        if t_s - self._t_s > MAX_CARRY_S:
            return None
        landmarks = start
        for _ in range(STEPS):
            thumb = thumbnail(bgr, landmarks)
            landmarks, step_px, change = self._register(thumb, landmarks)
            if step_px < NEAR_PX:
                break
        if change > MAX_CHANGE or _turn(self._mesh.landmarks, landmarks) > MAX_TURN:
            return None
        return Mesh(landmarks, self._mesh.logit), thumb

    @cached_property
    def _grey(self) -> np.ndarray:
        return _grey(self._thumb)

    @cached_property
    def _spread(self) -> float:
        return max(float(cv2.meanStdDev(self._grey)[1].item()), 1.0)

    @cached_property
    def _basis(self) -> np.ndarray:
        """(6, 4096), how grey levels change by a shift to the left, up, shrinking, turning back, and by light."""
        x, y = (cv2.Sobel(self._grey, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
        light = self._grey - self._grey.mean()
        return np.stack([x, y, ACROSS * x + DOWN * y, ACROSS * y - DOWN * x, np.ones_like(x), light]).reshape(6, -1)

    @cached_property
    def _solver(self) -> np.ndarray:
        """(6, 4096), gives the coefficients of the basis that fit a difference of grey levels best."""
        weighted = self._basis * INNER.ravel()
        solver: np.ndarray = np.linalg.inv(weighted @ self._basis.T + np.eye(6, dtype=np.float32)) @ weighted
        return solver

    def _register(self, thumb: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, float, float]:
        """One step: better landmarks, its length in px of the thumbnail, and the change of the face that it leaves."""
        difference = _grey(thumb) - self._grey
        fit = self._solver @ difference.ravel()
        left_over = difference - (fit @ self._basis).reshape(difference.shape)
        blocks = cv2.resize(left_over, None, fx=1 / BLOCK_PX, fy=1 / BLOCK_PX, interpolation=cv2.INTER_AREA)[1:-1, 1:-1]
        change = float(np.abs(blocks).max()) / self._spread
        if abs(fit[5]) > MAX_CONTRAST_CHANGE:
            change = math.inf
        right, down, growth, turn = (-fit[:4]).tolist()
        moved = landmarks.copy()
        moved[:, :2] = apply(_to_frame(landmarks, right, down, growth, turn), landmarks)
        moved[:, 2] *= 1 + growth
        return moved, float(np.hypot(right, down)), change


def _to_frame(landmarks: np.ndarray, right: float, down: float, growth: float, turn: float) -> np.ndarray:
    """The map (2, 3) of frame px that a motion in the thumbnail of `landmarks` stands for."""
    (x, y), (left_x, left_y) = landmarks[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER], :2].tolist()
    (eye_x, eye_y), (other_x, _) = THUMBNAIL_EYES_PX
    a, b = (left_x - x) / (other_x - eye_x), (left_y - y) / (other_x - eye_x)  # a px of the thumbnail to the right
    centre = np.array(
        [
            x + a * (CENTRE_PX - eye_x) - b * (CENTRE_PX - eye_y),
            y + b * (CENTRE_PX - eye_x) + a * (CENTRE_PX - eye_y),
        ]
    )
    change = np.array([[growth, -turn], [turn, growth]])
    shift = np.array([a * right - b * down, b * right + a * down]) - change @ centre
    return np.column_stack([np.eye(2) + change, shift])


def _turn(before: np.ndarray, after: np.ndarray) -> float:
    """Roll in radians and growth as a share, joined, between landmarks (468, 3)."""
    one, other = (complex(*(shape[LEFT_EYE_OUTER, :2] - shape[RIGHT_EYE_OUTER, :2])) for shape in (before, after))
    return abs(other / one - 1)


def _grey(thumb: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(thumb, cv2.COLOR_BGR2GRAY), np.float32)
