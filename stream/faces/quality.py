"""What the picture of one face is worth, and the sentence that says why it is not analysed."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from merau.engine.face_mesh import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Mesh, head_axes
from merau.stream.faces.settings import FaceSettings

THUMBNAIL_PX = 64
# Outer eye corners in the thumbnail: it reaches from the middle of the forehead to the chin.
THUMBNAIL_EYES_PX = (0.2 * THUMBNAIL_PX, 0.3 * THUMBNAIL_PX), (0.8 * THUMBNAIL_PX, 0.3 * THUMBNAIL_PX)

SLACK = 0.15  # as a share of each quality's scale: 15 % of the size, 3 degrees of yaw, 0.03 of presence


@dataclass(frozen=True)
class Quality:
    """What the picture of one face is worth.

    size_px: between the outer eye corners, in depth too, so that turning away does not shrink it.
    sharpness: standard deviation of the Laplacian of the grey face over that of the face, both at 38 px between the
        outer eye corners, where a sharp face has 0.5 to 1.
    yaw_deg, pitch_deg, roll_deg: of the mesh's own axes (engine.mesh.head_axes); positive is turned to the picture's
        right, up, and clockwise.
    presence: 0..1, how much of the face is in view: the mesh's logit over this person's usual one.
    exposure: 0..1, mean grey of the face.
    reason: "" when the face can be analysed, else the short sentence why not.
    score: 0..1, by the quality that is nearest to its limit; 0 where there is a reason.
    """

    size_px: float
    sharpness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    presence: float
    exposure: float
    reason: str
    score: float


def thumbnail(bgr: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(64, 64, 3) uint8: the face upright and at one size, by its outer eye corners."""
    (x, y, _), (left_x, left_y, _) = landmarks[RIGHT_EYE_OUTER].tolist(), landmarks[LEFT_EYE_OUTER].tolist()
    (to_x, to_y), (width, _) = THUMBNAIL_EYES_PX
    a, b = (left_x - x) / (width - to_x), (left_y - y) / (width - to_x)
    to_frame = np.array([[a, -b, x - a * to_x + b * to_y], [b, a, y - b * to_x - a * to_y]])
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(bgr, to_frame, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def face_size(landmarks: np.ndarray) -> float:
    """Distance between the outer eye corners in three dimensions, frame px."""
    return math.dist(landmarks[LEFT_EYE_OUTER].tolist(), landmarks[RIGHT_EYE_OUTER].tolist())


def judge(
    mesh: Mesh,
    thumb: np.ndarray,
    presence: float,
    frame_shape: tuple[int, ...],
    settings: FaceSettings,
    *,
    analysed: bool,
) -> Quality:
    """Quality of a mesh in a frame of (H, W, ...) shape; thumb: (64, 64, 3) uint8; presence as in Quality.

    analysed: it was good enough in the frame before, so it is given up only when it gets a little worse than the limit:
    a face that is near one would flicker in and out.
    """
    size = face_size(mesh.landmarks)
    yaw, pitch, roll = pose_deg(mesh.landmarks)
    grey = cv2.cvtColor(thumb, cv2.COLOR_BGR2GRAY)
    mean, spread = cv2.meanStdDev(grey)
    exposure = float(mean.item() / 255)
    # A blur shrinks fine detail before it shrinks the face's own light and shade; contrast changes both alike.
    detail = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S)[2:-2, 2:-2])[1]
    sharpness = detail.item() / max(spread.item(), 1.0)
    outside = _share_outside(mesh.landmarks, frame_shape)
    limits = settings
    # How far each quality is from its limit, 1 where more of it would not help, and what to say below 0.
    margins = (
        (1 - outside / limits.max_outside, "partly outside the picture"),
        (
            size / limits.min_size_px - 1,
            f"too small: {size:.0f} px between the outer eye corners, needs {limits.min_size_px:.0f}",
        ),
        ((limits.max_yaw_deg - abs(yaw)) / 20, f"turned away {abs(yaw):.0f} degrees"),
        ((limits.max_pitch_deg - abs(pitch)) / 15, f"turned {'up' if pitch > 0 else 'down'} {abs(pitch):.0f} degrees"),
        ((exposure - limits.min_exposure) / 0.1, "too dark"),
        ((limits.max_exposure - exposure) / 0.1, "too bright"),
        ((sharpness - limits.min_sharpness) / 0.2, "blurred"),
        ((presence - limits.min_presence) / 0.2, "hidden"),
    )
    reason = next((sentence for margin, sentence in margins if margin < (-SLACK if analysed else 0)), "")
    score = min(max(min(margin for margin, _ in margins), 0.0), 1.0)
    return Quality(size, sharpness, yaw, pitch, roll, presence, exposure, reason, score)


def pose_deg(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll of (468, 3) landmarks in degrees, signs as in Quality."""
    (across_x, across_y, _), _, (x, y, z) = head_axes(landmarks).tolist()
    yaw, pitch, roll = math.atan2(-x, z), math.atan2(y, math.hypot(x, z)), math.atan2(across_y, across_x)
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def _share_outside(landmarks: np.ndarray, frame_shape: tuple[int, ...]) -> float:
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    if low[0] >= 0 and low[1] >= 0 and high[0] < frame_shape[1] and high[1] < frame_shape[0]:
        return 0.0
    inside = (landmarks[:, :2] >= 0) & (landmarks[:, :2] < (frame_shape[1], frame_shape[0]))
    return 1 - float(inside.all(axis=1).mean())
