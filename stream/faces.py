"""Faces over time: detect when needed, mesh every frame, one id per person, a quality per face."""

from dataclasses import dataclass

import numpy as np

from engine.mesh import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, FaceNets
from stream.sources import Frame


@dataclass(frozen=True)
class FaceSettings:
    detector: str = "short"
    presence_gate: float = 0.5


@dataclass(frozen=True)
class Quality:
    """What the picture of one face is worth. reason: "" when the face can be analysed, else why not, for people."""

    size_px: float
    sharpness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    presence: float
    exposure: float
    reason: str
    score: float


@dataclass(frozen=True)
class Face:
    """landmarks: (468, 3) float32 frame px, z on the same scale."""

    track_id: int
    landmarks: np.ndarray
    quality: Quality


class FaceTracker:
    def __init__(self, settings: FaceSettings = FaceSettings()):
        self.settings = settings
        self._nets = FaceNets("short")
        self._landmarks: np.ndarray | None = None
        self._track_id = 0

    def update(self, frame: Frame) -> list[Face]:
        at = self._landmarks
        if at is None:
            detections = self._nets.detect(frame.image)
            if not detections:
                return []
            at = self._nets.mesh(frame.image, detections[0]).landmarks
            self._track_id += 1
        mesh = self._nets.mesh(frame.image, at)
        if mesh.presence < self.settings.presence_gate:
            self._landmarks = None
            return []
        self._landmarks = mesh.landmarks
        eyes = mesh.landmarks[LEFT_EYE_OUTER, :2] - mesh.landmarks[RIGHT_EYE_OUTER, :2]
        roll = float(np.degrees(np.arctan2(eyes[1], eyes[0])))
        quality = Quality(float(np.linalg.norm(eyes)), 1.0, 0.0, 0.0, roll, mesh.presence, 1.0, "", 1.0)
        return [Face(self._track_id, mesh.landmarks, quality)]
