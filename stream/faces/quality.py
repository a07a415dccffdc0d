"""Assess how well a face in a frame suits analysis, and give the reason if it does not."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from merau.engine.errors import Message
from merau.engine.face_mesh import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Mesh, head_axes
from merau.stream.faces.settings import FaceSettings

THUMBNAIL_PX = 64
# Outer eye corners in the thumbnail: it reaches from the middle of the forehead to the chin.
THUMBNAIL_EYES_PX = (0.2 * THUMBNAIL_PX, 0.3 * THUMBNAIL_PX), (0.8 * THUMBNAIL_PX, 0.3 * THUMBNAIL_PX)

HYSTERESIS = 0.15  # as a share of each quality's scale: 15% of the size, 3 degrees of yaw, 0.03 of presence


@dataclass(frozen=True)
class Quality:
    """How well one face in one frame suits analysis.

    Attributes:
        size_px: Distance between the outer eye corners in three dimensions, so that turning away does not shrink it.
        sharpness: Standard deviation of the Laplacian of the grey face over that of the face, both at 38 px between the
            outer eye corners. A sharp face has 0.5 to 1.
        yaw_deg: Turn about the mesh's own axes (engine.face_mesh.head_axes); positive to the right of the frame.
        pitch_deg: Positive is up.
        roll_deg: Positive is clockwise.
        presence: 0 to 1, how much of the face is in view: the mesh's logit over this person's usual one.
        exposure: 0 to 1, mean grey of the face.
        reason: Why the face cannot be analysed; None if it can.
        score: 0 to 1, by the quality that is nearest to its limit; 0 if there is a reason.
    """

    size_px: float
    sharpness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    presence: float
    exposure: float
    reason: Message | None
    score: float


def thumbnail(bgr: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Cut the face upright and at one size, by its outer eye corners: (64, 64, 3) uint8."""
    (x, y, _), (left_x, left_y, _) = landmarks[RIGHT_EYE_OUTER].tolist(), landmarks[LEFT_EYE_OUTER].tolist()
    (to_x, to_y), (width, _) = THUMBNAIL_EYES_PX
    a, b = (left_x - x) / (width - to_x), (left_y - y) / (width - to_x)
    to_frame = np.array([[a, -b, x - a * to_x + b * to_y], [b, a, y - b * to_x - a * to_y]])
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    thumb: np.ndarray = cv2.warpAffine(bgr, to_frame, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return thumb


def face_size(landmarks: np.ndarray) -> float:
    """Distance between the outer eye corners in three dimensions, frame px."""
    return math.dist(landmarks[LEFT_EYE_OUTER].tolist(), landmarks[RIGHT_EYE_OUTER].tolist())


def assess(
    mesh: Mesh,
    thumb: np.ndarray,
    presence: float,
    frame_shape: tuple[int, ...],
    settings: FaceSettings,
    *,
    was_analysed: bool,
) -> Quality:
    """Assess a face.

    Args:
        mesh: The face's mesh.
        thumb: (64, 64, 3) uint8, its thumbnail.
        presence: As in Quality.
        frame_shape: (height, width, ...) of the frame.
        settings: The limits.
        was_analysed: The face was good enough in the frame before. It is then given up a little below the limits
            only, so that a face near one does not flicker in and out.
    """
    size_px = face_size(mesh.landmarks)
    yaw_deg, pitch_deg, roll_deg = pose_deg(mesh.landmarks)
    grey = cv2.cvtColor(thumb, cv2.COLOR_BGR2GRAY)
    mean, spread = cv2.meanStdDev(grey)
    exposure = float(mean.item() / 255)
    # A blur shrinks fine detail before it shrinks the face's own light and shade; contrast changes both alike.
    detail = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S)[2:-2, 2:-2])[1]
    sharpness = detail.item() / max(spread.item(), 1.0)
    outside = _share_outside(mesh.landmarks, frame_shape)
    size: dict[str, object] = {"size": f"{size_px:.0f}", "needed": f"{settings.min_size_px:.0f}"}
    yaw: dict[str, object] = {"degrees": f"{abs(yaw_deg):.0f}"}
    pitch: dict[str, object] = {"degrees": f"{abs(pitch_deg):.0f}"}
    # Distance of each quality from its limit, 1 where more would not help, and the reason below 0.
    margins = (
        (1 - outside / settings.max_outside, Message("partly outside the picture")),
        (
            size_px / settings.min_size_px - 1,
            Message("too small: {size} px between the outer eye corners, needs {needed}", size),
        ),
        ((settings.max_yaw_deg - abs(yaw_deg)) / 20, Message("turned away {degrees} degrees", yaw)),
        (
            (settings.max_pitch_deg - abs(pitch_deg)) / 15,
            Message("turned up {degrees} degrees", pitch)
            if pitch_deg > 0
            else Message("turned down {degrees} degrees", pitch),
        ),
        ((exposure - settings.min_exposure) / 0.1, Message("too dark")),
        ((settings.max_exposure - exposure) / 0.1, Message("too bright")),
        ((sharpness - settings.min_sharpness) / 0.2, Message("blurred")),
        ((presence - settings.min_presence) / 0.2, Message("hidden")),
    )
    limit = -HYSTERESIS if was_analysed else 0
    reason = next((message for margin, message in margins if margin < limit), None)
    score = min(max(min(margin for margin, _ in margins), 0.0), 1.0)
    return Quality(size_px, sharpness, yaw_deg, pitch_deg, roll_deg, presence, exposure, reason, score)


def pose_deg(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of (468, 3) landmarks, with signs as in Quality."""
    (across_x, across_y, _), _, (x, y, z) = head_axes(landmarks).tolist()
    yaw, pitch, roll = math.atan2(-x, z), math.atan2(y, math.hypot(x, z)), math.atan2(across_y, across_x)
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def _share_outside(landmarks: np.ndarray, frame_shape: tuple[int, ...]) -> float:
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    if low[0] >= 0 and low[1] >= 0 and high[0] < frame_shape[1] and high[1] < frame_shape[0]:
        return 0.0
    inside = (landmarks[:, :2] >= 0) & (landmarks[:, :2] < (frame_shape[1], frame_shape[0]))
    return 1 - float(inside.all(axis=1).mean())
