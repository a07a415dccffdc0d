"""Faces over time: detect when needed, mesh every frame, one id per person, a quality per face."""

from stream.faces.quality import Quality
from stream.faces.settings import FaceSettings
from stream.faces.tracker import Face, FaceTracker

__all__ = ["Face", "FaceSettings", "FaceTracker", "Quality"]
