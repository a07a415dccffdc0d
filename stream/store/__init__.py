"""The store: sessions, events and codings in one SQLite file."""

from merau.stream.store.models import CodingStep, FaceTime, Label, MotionCurve, Session
from merau.stream.store.reader import (
    count_events,
    read_changed_events,
    read_clip,
    read_clip_ids,
    read_coding_history,
    read_codings,
    read_consent,
    read_curves,
    read_events,
    read_faces,
    read_labels,
    read_original_predictions,
    read_sessions,
)
from merau.stream.store.writer import Store

__all__ = [
    "CodingStep",
    "FaceTime",
    "Label",
    "MotionCurve",
    "Session",
    "Store",
    "count_events",
    "read_changed_events",
    "read_clip",
    "read_clip_ids",
    "read_coding_history",
    "read_codings",
    "read_consent",
    "read_curves",
    "read_events",
    "read_faces",
    "read_labels",
    "read_original_predictions",
    "read_sessions",
]
