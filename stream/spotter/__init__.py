"""Spotting facial movements online: crops of one face in, spans out."""

from merau.stream.spotter.rules import CandidateFeatures, Kind
from merau.stream.spotter.span import Span
from merau.stream.spotter.spotter import SecondStage, Spotter, SpotterSettings

__all__ = ["CandidateFeatures", "Kind", "SecondStage", "Span", "Spotter", "SpotterSettings"]
