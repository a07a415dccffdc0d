"""Spotting facial movements online: crops of one face in, spans out."""

from merau.stream.spotter.rules import Evidence, Kind
from merau.stream.spotter.span import Span
from merau.stream.spotter.spotter import Judge, Spotter, SpotterSettings

__all__ = ["Evidence", "Judge", "Kind", "Span", "Spotter", "SpotterSettings"]
