"""Faces over time: detected when needed, a mesh in every frame, one id per person, a quality per face."""

from merau.stream.faces.quality import Quality
from merau.stream.faces.settings import FaceSettings
from merau.stream.faces.tracker import Face, FaceTracker

__all__ = ["Face", "FaceSettings", "FaceTracker", "Quality"]
