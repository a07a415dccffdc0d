"""Queries of the store. All of them raise UserError when the file is not a store; damaged rows are left out."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from merau.stream.events import BLOBS, FIELDS, Coding, Consent, Event
from merau.stream.store import rows
from merau.stream.store.models import CodingStep, FaceTime, Label, MotionCurve, Session
from merau.stream.store.schema import open_for_reading

_RECLASSIFIED = ("probabilities", "label", "uncertain", "head_sha256")
# A final event was classified by the head in use at its time: a reclassification of its provisional form is outdated.
_BY_EVENT = (
    "ON reclassifications.session = events.session AND reclassifications.event = events.id "
    "AND reclassifications.final = events.final"
)
_PARTIAL = "coalesce((SELECT partial FROM sessions WHERE sessions.id = events.session), 0) AS partial"
_ANALYSED = (
    "(SELECT analysed_s FROM faces WHERE faces.session = events.session AND faces.track = events.track) AS analysed_s"
)


def read_sessions(path: Path) -> list[Session]:
    """Read all sessions, the oldest first."""
    with open_for_reading(path) as connection:
        found = connection.execute("SELECT * FROM sessions ORDER BY id")
        return list(rows.intact(path, "session {id}", found, partial(rows.session, path)))


def read_events(path: Path, session: int | None = None, coder: str | None = None) -> Iterator[Event]:
    """Read the events of one session, or of all, by onset. A reclassified event has its new classification.

    Each event has its codings, or the one of `coder`. For events that coders added see `merau.stream.coding`.
    """
    columns = [
        f"coalesce(reclassifications.{name}, events.{name}) AS {name}" if name in _RECLASSIFIED else f"events.{name}"
        for name in ("session", *FIELDS, *BLOBS)
    ]
    columns += [_PARTIAL, _ANALYSED]
    runs = {found.id: found.run for found in read_sessions(path) if session in (None, found.id)}
    codings: dict[tuple[int | None, str], list[Coding]] = {}
    for coding in read_codings(path, session, coder):
        codings.setdefault((coding.session, coding.event), []).append(coding)
    query = (
        f"SELECT {', '.join(columns)} FROM events LEFT JOIN reclassifications {_BY_EVENT} "
        "WHERE ?1 IS NULL OR events.session = ?1 ORDER BY events.session, onset_s, events.id"
    )
    with open_for_reading(path) as connection:
        found = connection.execute(query, (session,))
        for event in rows.intact(path, "event {id} of session {session}", found, rows.event):
            of_event = tuple(codings.get((event.session, event.id), ()))
            yield replace(event, codings=of_event, run=runs.get(event.session or 0))


def read_changed_events(path: Path, since: str = "", session: int | None = None) -> Iterator[tuple[str, Event]]:
    """Read the events that were recorded or changed after a mark, in that order, each with its own mark.

    Args:
        path: The store.
        since: A mark, or an ISO 8601 time in UTC as the store writes it; "" reads from the beginning.
        session: Of this session only.

    Returns:
        Marks and events, these without images, embeddings and codings.
    """
    recorded, _, number = since.partition("/")
    columns = [
        f"coalesce(reclassifications.{name}, events.{name}) AS {name}" if name in _RECLASSIFIED else f"events.{name}"
        for name in ("session", *FIELDS)
    ]
    query = (
        f"SELECT {', '.join(columns)}, {_PARTIAL}, events.recorded || '/' || events.rowid AS mark FROM events "
        f"LEFT JOIN reclassifications {_BY_EVENT} WHERE (events.recorded, events.rowid) > (?1, ?2) "
        "AND (?3 IS NULL OR events.session = ?3) ORDER BY events.recorded, events.rowid"
    )
    with open_for_reading(path) as connection:
        found = connection.execute(query, (recorded, int(number or 0), session))
        yield from rows.intact(path, "event {id} of session {session}", found, rows.marked_event)


def read_consent(path: Path) -> Consent | None:
    """Read what was agreed to for all cameras most recently; None where nobody did."""
    with open_for_reading(path) as connection:
        row = connection.execute("SELECT purpose, given FROM consents ORDER BY id DESC LIMIT 1").fetchone()
    return Consent(*row) if row else None


def count_events(path: Path, session: int) -> dict[str, int]:
    """Count the final events of a session by kind, the most frequent first."""
    query = "SELECT kind, count(*) FROM events WHERE session = ? AND final GROUP BY kind ORDER BY count(*) DESC, kind"
    with open_for_reading(path) as connection:
        return dict(connection.execute(query, (session,)).fetchall())


def read_original_predictions(path: Path, session: int) -> dict[str, dict[str, Any]]:
    """Read the original predictions of the session's reclassified events.

    Returns:
        By event id, the fields `probabilities`, `label` and `uncertain`.
    """
    query = (
        f"SELECT event, {', '.join(f'events.{name}' for name in _RECLASSIFIED)} FROM events "
        f"JOIN reclassifications {_BY_EVENT} WHERE events.session = ?"
    )
    with open_for_reading(path) as connection:
        found = connection.execute(query, (session,))
        return dict(rows.intact(path, f"event {{event}} of session {session}", found, rows.prediction))


def read_faces(path: Path, session: int) -> list[FaceTime]:
    """Read how long each face of a session was there; empty where an older version stored the session."""
    with open_for_reading(path) as connection:
        found = connection.execute("SELECT * FROM faces WHERE session = ? ORDER BY track", (session,))
        return list(rows.intact(path, "face {track} of session {session}", found, rows.face_time))


def read_curves(path: Path, session: int) -> list[MotionCurve]:
    """Read the motion of each face of a session, as far as it was stored."""
    with open_for_reading(path) as connection:
        found = connection.execute("SELECT * FROM curves WHERE session = ? ORDER BY track", (session,))
        return list(rows.intact(path, "motion of face {track} in session {session}", found, rows.curve))


def read_clip(path: Path, session: int, event_id: str) -> bytes | None:
    """Read the clip of an event as MP4; None where none is stored."""
    with open_for_reading(path) as connection:
        query = "SELECT mp4 FROM clips WHERE session = ? AND event = ?"
        row = connection.execute(query, (session, event_id)).fetchone()
    return row["mp4"] if row else None


def read_clip_ids(path: Path, session: int) -> set[str]:
    """Read the ids of the session's events that have a clip."""
    with open_for_reading(path) as connection:
        return {row["event"] for row in connection.execute("SELECT event FROM clips WHERE session = ?", (session,))}


def read_codings(path: Path, session: int | None = None, coder: str | None = None) -> list[Coding]:
    """Read the coding of each coder and event that counts, the oldest first.

    Args:
        path: The store.
        session: Of this session only.
        coder: Of this coder only.
    """
    query = (
        "SELECT * FROM current_codings WHERE (?1 IS NULL OR session = ?1) AND (?2 IS NULL OR coder = ?2) ORDER BY id"
    )
    with open_for_reading(path) as connection:
        return list(rows.intact(path, "coding {id}", connection.execute(query, (session, coder)), rows.coding))


def read_coding_history(path: Path, session: int) -> list[CodingStep]:
    """Read what was coded in a session and what was taken back, the oldest first."""
    query = (
        "SELECT codings.*, steps.given AS at, steps.undoes IS NOT NULL AS is_undo FROM codings AS steps "
        "JOIN codings ON codings.id = coalesce(steps.undoes, steps.id) WHERE steps.session = ? ORDER BY steps.id"
    )
    with open_for_reading(path) as connection:
        return list(rows.intact(path, "coding {id}", connection.execute(query, (session,)), rows.coding_step))


def read_labels(path: Path) -> list[Label]:
    """Read the newest label of each event, the oldest first; a coder who calls the event false gives none."""
    query = (
        "SELECT * FROM current_codings WHERE id IN (SELECT max(id) FROM current_codings "
        "WHERE label IS NOT NULL AND NOT is_false GROUP BY session, event) ORDER BY id"
    )
    with open_for_reading(path) as connection:
        return list(rows.intact(path, "label {id}", connection.execute(query), rows.label))
