"""Rows of the store as objects. A damaged row costs itself: it is named and left out."""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from merau.engine.text import plain
from merau.stream.events import BLOBS, KINDS, SIDES, Coding, Event
from merau.stream.store.models import CodingStep, FaceTime, Label, MotionCurve, Session

T = TypeVar("T")

YEARS = range(1970, 2200)
MAX_NUMBER = 1e12  # of what is measured, more than any time in s

_TEXTS = ("id", "source", "kind", "label", "bundle", "bundle_sha256", "head_sha256", "side")
_NUMBERS = ("onset_s", "apex_s", "offset_s", "strength", "quality")


def intact(path: Path, name: str, rows: Iterable[sqlite3.Row], convert: Callable[[sqlite3.Row], T]) -> Iterator[T]:
    """Yield what `convert` makes of each row, and log those for which it raises.

    Args:
        path: The store.
        name: What a row is, with its columns: "event {id} of session {session}".
        rows: What a query found.
        convert: Raises ValueError or TypeError for a damaged row.
    """
    for row in rows:
        try:
            converted = convert(row)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            _log_damage(path, name.format(**dict(row)), f"{error}")
        else:
            yield converted


@lru_cache(1024)  # a page reads the same rows again and again
def _log_damage(path: Path, row: str, reason: str) -> None:
    logging.getLogger(__name__).error("%s: %s is damaged and left out (%s).", path, row, reason)


def event(row: sqlite3.Row | dict[str, Any]) -> Event:
    """Convert a row of an event with its reclassification and session."""
    fields = dict(row)
    _require(all(isinstance(fields[name], str) for name in _TEXTS), "a text is missing")
    _require(all(is_number(fields[name]) for name in _NUMBERS), "a number is missing")
    _require(all(isinstance(fields[name], int) for name in ("session", "track")), "a number is missing")
    _require(fields["kind"] in KINDS, f"unknown kind {fields['kind']!r}")
    _require(fields["side"] in SIDES, f"unknown side {fields['side']!r}")
    _require(fields["onset_wall"] is None or _is_time(fields["onset_wall"]), "its time of day is none")
    _require(all(isinstance(fields.get(name), bytes | None) for name in BLOBS), "a picture is none")
    fields |= {name: _probabilities(fields[name]) for name in ("aus", "probabilities")}
    _require(all(unit.isdigit() for unit in fields["aus"]), "an Action Unit has no number")
    named = fields["label"] in fields["probabilities"] or not fields["probabilities"]
    _require(named, f"unknown label {fields['label']!r}")
    fields |= {name: bool(fields[name]) for name in ("uncertain", "final", "partial")}
    return Event(**fields)


def marked_event(row: sqlite3.Row) -> tuple[str, Event]:
    """Convert a row of an event that has a mark, too."""
    fields = dict(row)
    return str(fields.pop("mark")), event(fields)


def session(path: Path, row: sqlite3.Row) -> Session:
    """Convert a row of a session; damaged settings or gaps are left out, and the session stays."""
    settings = next(intact(path, "the settings of session {id}", [row], _settings), {})
    gaps = next(intact(path, "the list of gaps of session {id}", [row], _gaps), [])
    kinds = next(intact(path, "the retention of session {id}", [row], _retention_kinds), {})
    fields = {name: row[name] for name in Session.__dataclass_fields__}
    texts, optional_texts = ("source", "bundle", "bundle_sha256"), ("purpose", "consented", "content_sha256", "name")
    _require(all(isinstance(fields[name], str) for name in texts), "a text is missing")
    _require(all(isinstance(fields[name], str | None) for name in optional_texts), "a text is none")
    _require(_is_time(fields["started"]), "its start is no time")
    _require(all(fields[name] is None or _is_time(fields[name]) for name in ("ended", "wall_zero")), "a time is none")
    _require(all(isinstance(fields[name], int) for name in ("frames", "dropped")), "a number is missing")
    numbers = (fields["retention_h"], fields["end_s"])
    _require(all(value is None or is_number(value) for value in numbers), "a number is none")
    # OverflowError where the retention ends beyond the calendar
    datetime.fromisoformat(fields["ended"] or fields["started"]) + timedelta(hours=fields["retention_h"] or 0)
    converted = {"settings": settings, "gaps": gaps, "retention_kinds": kinds, "partial": bool(row["partial"])}
    return Session(**(fields | converted))


def _settings(row: sqlite3.Row) -> dict[str, Any]:
    settings = json.loads(row["settings"])
    _require(isinstance(settings, dict), "they have no names")
    slowdown = settings.get("slowdown", 1.0)
    _require(is_number(slowdown) and 1e-6 <= slowdown <= 1e6, "the slowdown is no number")
    return dict(settings)


def _gaps(row: sqlite3.Row) -> list[tuple[float, float]]:
    gaps = [(start_s, end_s) for start_s, end_s in json.loads(row["gaps"])]
    _require(all(is_number(t_s) for gap in gaps for t_s in gap), "a time is no number")
    return gaps


def _retention_kinds(row: sqlite3.Row) -> dict[str, float]:
    kinds = dict(json.loads(row["retention_kinds"]))
    _require(all(is_number(hours) for hours in kinds.values()), "a retention is no number")
    return {plain(kind): float(hours) for kind, hours in kinds.items()}


def label(row: sqlite3.Row) -> Label:
    """Convert a row of a coding that states a class."""
    _require(isinstance(row["label"], str), "a text is missing")
    fields = {name: row[name] for name in Label.__dataclass_fields__}
    parsed = {"probabilities": _probabilities(row["probabilities"]), "aus": _probabilities(row["predicted_aus"])}
    return Label(**(fields | parsed))


def coding(row: sqlite3.Row) -> Coding:
    """Convert a row of a coding."""
    fields = {name: row[name] for name in Coding.__dataclass_fields__}
    texts = [fields[name] for name in ("event", "coder", "given", "note")]
    _require(all(isinstance(text, str) for text in texts), "a text is missing")
    _require(fields["label"] is None or isinstance(fields["label"], str), "the label is no text")
    times = [fields[name] for name in ("onset_s", "apex_s", "offset_s")]
    _require(all(t_s is None or is_number(t_s) for t_s in times), "a time is no number")
    _require(fields["kind"] is None or fields["kind"] in KINDS, f"unknown kind {fields['kind']!r}")
    if fields["is_missed"]:
        _require(None not in times and fields["kind"] is not None, "a time or the kind is missing")
        _require(isinstance(fields["track"], int), "the face has no number")
    aus = None if fields["aus"] is None else tuple(json.loads(fields["aus"]))
    _require(all(isinstance(unit, str) and unit.isdigit() for unit in aus or ()), "an Action Unit has no number")
    return Coding(**(fields | {"aus": aus} | {name: bool(fields[name]) for name in ("is_false", "is_missed")}))


def coding_step(row: sqlite3.Row) -> CodingStep:
    """Convert a row of a coding with the time and the sort of a step."""
    return CodingStep(coding(row), row["at"], bool(row["is_undo"]))


def face_time(row: sqlite3.Row) -> FaceTime:
    """Convert a row of a face's time."""
    fields = dict(row)
    del fields["session"]
    _require(all(is_number(value) for value in fields.values()), "a number is missing")
    return FaceTime(**fields)


def curve(row: sqlite3.Row) -> MotionCurve:
    """Convert a row of a face's motion."""
    motion_px, noise_px = (np.frombuffer(row[name], np.float16).astype(np.float32) for name in ("motion", "noise"))
    _require(len(motion_px) == len(noise_px) and is_number(row["bin_s"]), "lengths differ")
    return MotionCurve(row["track"], row["bin_s"], motion_px, noise_px)


def prediction(row: sqlite3.Row) -> tuple[str, dict[str, Any]]:
    """Convert an event's id and its prediction."""
    fields = {"probabilities": _probabilities(row["probabilities"]), "label": row["label"]}
    return row["event"], fields | {"uncertain": bool(row["uncertain"])}


def _probabilities(text: str) -> dict[str, float]:
    found = json.loads(text)
    valid = isinstance(found, dict) and all(is_number(value) for value in found.values())
    _require(valid, "a probability is missing")
    _require(all(plain(name) == name for name in found), "a class has no name")
    return dict(found)


def _is_time(value: object) -> bool:
    """Whether the value is a time by ISO 8601, in a year of some calendar. Raises ValueError for other texts."""
    if not isinstance(value, str):
        return False
    time = datetime.fromisoformat(value)
    return time.year in YEARS and time.tzinfo is not None


def is_number(value: object) -> bool:
    """Whether the value is a number that can have been measured or counted."""
    return isinstance(value, int | float) and abs(value) <= MAX_NUMBER  # whole numbers of JSON may have 1000 digits


def _require(valid: bool, reason: str) -> None:
    if not valid:
        raise ValueError(reason)
