"""Spotting facial movements online: crops of one face in, spans out."""

from merau.stream.spotter.assembler import Thresholds
from merau.stream.spotter.classifier import CandidateInput, SpanClassifier
from merau.stream.spotter.settings import SpotterSettings
from merau.stream.spotter.span import KINDS, Kind, Span
from merau.stream.spotter.spotter import Spotter

__all__ = ["KINDS", "CandidateInput", "Kind", "Span", "SpanClassifier", "Spotter", "SpotterSettings", "Thresholds"]
