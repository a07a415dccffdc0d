"""Spotting facial movements online: crops of one face in, spans out."""

from merau.stream.spotter.rules import CandidateFeatures, Kind
from merau.stream.spotter.span import Span
from merau.stream.spotter.spotter import Judge, Spotter, SpotterSettings

__all__ = ["CandidateFeatures", "Judge", "Kind", "Span", "Spotter", "SpotterSettings"]
