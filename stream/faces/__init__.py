"""Faces over time: detect when needed, mesh every frame, one id per person, a quality per face."""

from merau.stream.faces.quality import Quality
from merau.stream.faces.settings import FaceSettings
from merau.stream.faces.tracker import Face, FaceTracker

__all__ = ["Face", "FaceSettings", "FaceTracker", "Quality"]
