"""Writing to the store: one thread that never drops a change."""

import json
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from merau.engine.errors import Message, UserError
from merau.engine.text import plain
from merau.stream.events import BLOBS, FIELDS, IMAGES, Coding, Consent, Event, event_fields, to_json
from merau.stream.store.clock import CLOCK, SteadyClock, iso_time
from merau.stream.store.models import FaceTime, MotionCurve
from merau.stream.store.schema import (
    LOCK_WAIT_S,
    error_message,
    is_locked,
    open_for_reading,
    open_for_writing,
)

RETRY_S = 1.0  # wait after a failed try; nothing is dropped in between
ANSWER_LIMIT_S = 60.0  # a caller waits no longer, should the disk hang
GIVE_UP_LIMIT_S = 5.0  # for the last try after Ctrl-C
LOG_WAIT_MS = 100  # for readers, before another try to empty the log
BATCH = 256  # changes that one transaction takes up, until the store is closed

_COLUMNS = ("session", *FIELDS, *BLOBS, "recorded")
_UPSERT_EVENT = (
    f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    "ON CONFLICT (session, id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in (*FIELDS, "embedding", "recorded") if name != "id")
    + "".join(f", {name} = coalesce(excluded.{name}, {name})" for name in IMAGES)
)
_INSERT_SESSION = (
    "INSERT INTO sessions (source, started, settings, bundle, bundle_sha256, purpose, consented, consent, retention_h, "
    "retention_kinds, content_sha256, partial) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_UPDATE_SESSION = (
    "UPDATE sessions SET wall_zero = ?, frames = ?, dropped = ?, gaps = ?, ended = ?, partial = coalesce(?, partial), "
    "end_s = coalesce(?, end_s), recorded = ? WHERE id = ?"
)
_CODING = tuple(name for name in Coding.__dataclass_fields__ if name != "id")
_CODING_COLUMNS = (*_CODING, "bundle_sha256", "embedding", "probabilities", "predicted_aus")
_INSERT_CODING = f"INSERT INTO codings ({', '.join(_CODING_COLUMNS)}) VALUES ({', '.join('?' * len(_CODING_COLUMNS))})"
_UNDO_CODING = (
    "INSERT INTO codings (session, event, coder, given, undoes) SELECT session, event, coder, ?, id FROM "
    "standing_codings WHERE session = ? AND coder = ? ORDER BY id DESC LIMIT 1"
)
_UPSERT_CURVE = "INSERT OR REPLACE INTO curves (session, track, bin_s, motion, noise) VALUES (?, ?, ?, ?, ?)"
_UPSERT_FACE = "INSERT OR REPLACE INTO faces VALUES (?, ?, ?, ?, ?, ?)"
_UPSERT_CLIP = "INSERT OR REPLACE INTO clips VALUES (?, ?, ?)"
_INSERT_RECLASSIFICATION = (
    "INSERT INTO reclassifications (session, event, final, probabilities, label, uncertain, head_sha256) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_DELETE_UNCHANGED_RECLASSIFICATIONS = (
    "DELETE FROM reclassifications WHERE EXISTS (SELECT 1 FROM events WHERE session = reclassifications.session "
    "AND id = reclassifications.event AND label = reclassifications.label "
    "AND probabilities = reclassifications.probabilities)"
)
_KEEP_NAME = (
    "UPDATE sessions SET name = coalesce((SELECT name FROM sessions AS old WHERE old.id = ?), name) WHERE id = ?"
)
_TABLES_OF_A_SESSION = ("clips", "curves", "faces", "reclassifications", "events")


def _limit(hours: str) -> str:
    """The time before which data has expired at the time ?1; NULL, which is before nothing, without hours."""
    return f"strftime('%Y-%m-%dT%H:%M:%f', ?1, printf('-%.3f seconds', 3600 * {hours}))"


# A session stays as long as any kind of its events does.
_KINDS = "iif(json_valid(retention_kinds), retention_kinds, '{}')"  # one damaged row must not keep all others
_SESSION_H = f"max(retention_h, coalesce((SELECT max(value) FROM json_each({_KINDS})), 0))"
_EVENT_H = f"coalesce((SELECT value FROM json_each({_KINDS}) WHERE key = kind), retention_h)"
_PURGE = (
    f"DELETE FROM sessions WHERE retention_h IS NOT NULL AND recorded < {_limit(_SESSION_H)}",
    "DELETE FROM events WHERE session NOT IN (SELECT id FROM sessions) OR EXISTS ("
    f"SELECT 1 FROM sessions WHERE sessions.id = events.session AND {_EVENT_H} IS NOT NULL "
    f"AND events.recorded < {_limit(_EVENT_H)})",
)
# What cameras recorded until the time ?1; recordings can be analysed again, but nobody asked to delete them.
_OF_CAMERAS = "(SELECT id FROM sessions WHERE content_sha256 IS NULL)"
_PURGE_UNTIL = (
    f"DELETE FROM events WHERE recorded <= ?1 AND session IN {_OF_CAMERAS}",
    f"DELETE FROM sessions WHERE recorded <= ?1 AND id IN {_OF_CAMERAS}",
)
_USED = (
    "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
_SIZES = (
    "SELECT events.recorded, sum(length(events.id)"
    + "".join(f" + coalesce(length({name}), 0)" for name in BLOBS)
    + " + coalesce((SELECT length(mp4) FROM clips WHERE clips.session = events.session AND clips.event = events.id), 0)"
    + f") OVER (ORDER BY events.recorded) AS size FROM events WHERE session IN {_OF_CAMERAS} ORDER BY events.recorded"
)
SIZE_MARGIN = 0.05  # a store that is too large is purged to so much less, so that this is seldom done
# What other programs recorded is as new as the latest time that is known of it, and no newer than the time ?1.
_SETTLE_AGES = (
    "UPDATE events SET recorded = min(max(recorded, coalesce((SELECT max(iif(started < ?1, started, ''), "
    "min(coalesce(onset_wall, ''), iif(ended < ?1, ended, ''))) FROM sessions WHERE id = session), '')), ?1)",
    "UPDATE sessions SET recorded = min(max(recorded, iif(ended < ?1, ended, '')), ?1)",
)
_DELETE_ORPHANS = (
    "DELETE FROM clips WHERE (session, event) NOT IN (SELECT session, id FROM events)",
    "DELETE FROM reclassifications WHERE (session, event) NOT IN (SELECT session, id FROM events)",
    "DELETE FROM curves WHERE session NOT IN (SELECT id FROM sessions)",
    "DELETE FROM faces WHERE session NOT IN (SELECT id FROM sessions)",
)


@dataclass(frozen=True)
class _Write:
    sql: str
    values: tuple[Any, ...] = ()
    result: Future[int] | None = None  # set where a caller waits: it gets the error, and the write is not tried again

    @property
    def is_wanted(self) -> bool:
        """Whether nobody waits for the result, or somebody still does."""
        return self.result is None or self.result.set_running_or_notify_cancel()


class Store:
    """Sessions, events and codings in one SQLite file, written by one thread.

    Only `start_session`, `delete_all`, `flush` and `close` wait for the disk. A write that fails (full disk, lock of
    another program) is kept and tried again every second; meanwhile `last_error` holds the reason. A change that
    SQLite can never hold (text that is not Unicode, say) is logged and left out, and does not keep others from being
    written; `close` says how many there were.

    Attributes:
        path: The SQLite file.
        keep_pictures: Whether the events' images are stored.
        deletion_pending: Whether what was deleted is still in the file's log, because another program reads the file.
            It leaves the log when that program is done.
        last_error: Why the last try to write failed, or a change was left out; None where neither happened.
    """

    def __init__(self, path: Path, *, keep_pictures: bool = False, clock: SteadyClock = CLOCK) -> None:
        """Open or create the file at `path`. Raises UserError when it is not a store."""
        self.path = path
        self.keep_pictures = keep_pictures
        self._clock = clock
        self.last_error: Message | None = None
        self.deletion_pending = True  # a program that was killed may have left a log
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._in_order = threading.Lock()  # events become readable in the order of their times
        self._unwritten: list[_Write] = []
        self._is_locked = False  # the last try met the lock of another program
        self._left_out = 0
        self._left_out_error: Message | None = None
        self._closing, self._given_up = threading.Event(), threading.Event()
        connection = open_for_writing(path)
        self._file = path.stat()
        self._writer = threading.Thread(target=self._run, args=(connection,), name="store", daemon=True)
        self._writer.start()
        # Ends the sessions of a killed process. A running process restores its own within seconds (`update_session`).
        self._put("UPDATE sessions SET ended = ?, recorded = ? WHERE ended IS NULL", now(), self._recorded())

    @property
    def is_alive(self) -> bool:
        """Whether the thread that writes runs."""
        return self._writer.is_alive()

    def start_session(
        self,
        source: str,
        *,
        settings: dict[str, Any],
        bundle: str,
        bundle_sha256: str,
        consent: Consent | None = None,
        retention_h: float | None = None,
        retention_kinds: Mapping[str, float] | None = None,
        content_sha256: str | None = None,
        partial: bool = False,
    ) -> int:
        """Start a session and return its number, under which its events are put.

        Raises:
            UserError: The session cannot be written.
        """
        agreed = (consent.purpose, consent.given, consent.text or None) if consent else (None, None, None)
        values = (plain(source), now(), json.dumps(settings), bundle, bundle_sha256, *agreed)
        kept = (retention_h, json.dumps(dict(retention_kinds or {})))
        return self._execute(_INSERT_SESSION, *values, *kept, content_sha256, partial)

    def update_session(
        self,
        session: int,
        *,
        wall_zero: datetime | None,
        frames: int,
        dropped: int,
        gaps: Sequence[tuple[float, float]],
        ended: bool = False,
        partial: bool | None = None,
        end_s: float | None = None,
    ) -> None:
        """Store how far the session has come; `gaps` holds all gaps so far.

        None leaves `partial` and `end_s`, the time of the last frame, as they are.
        """
        zero = wall_zero.isoformat(timespec="milliseconds") if wall_zero else None
        end = (now(), partial, end_s, self._recorded()) if ended else (None, partial, end_s, None)
        self._put(_UPDATE_SESSION, zero, frames, dropped, json.dumps(gaps), *end, session)

    def put(self, session: int, event: Event) -> None:
        """Insert the event, or replace an earlier one with the same id."""
        row = [json.dumps(value) if isinstance(value, dict) else value for value in event_fields(event).values()]
        images = [getattr(event, name) if self.keep_pictures else None for name in IMAGES]
        with self._in_order:
            self._put(_UPSERT_EVENT, session, *row, *images, event.embedding, self._recorded())

    def replace_reclassifications(self, events: Iterable[tuple[int, Event]]) -> None:
        """Replace all reclassifications by these events, each with its session. Original predictions never change."""
        self._put("DELETE FROM reclassifications")
        for session, event in events:
            probabilities = json.dumps(to_json(event.probabilities))
            prediction = (probabilities, event.label, event.uncertain, event.head_sha256)
            self._put(_INSERT_RECLASSIFICATION, session, event.id, event.final, *prediction)
        self._put(_DELETE_UNCHANGED_RECLASSIFICATIONS)

    def put_clip(self, session: int, event_id: str, mp4: bytes) -> None:
        """Store the clip of an event."""
        self._put(_UPSERT_CLIP, session, event_id, mp4)

    def put_curve(self, session: int, curve: MotionCurve) -> None:
        """Store the motion of a face, in place of what was stored of it before."""
        blobs = [values.astype(np.float16).tobytes() for values in (curve.motion_px, curve.noise_px)]
        self._put(_UPSERT_CURVE, session, curve.track, curve.bin_s, *blobs)

    def put_face(self, session: int, face: FaceTime) -> None:
        """Store how long a face was there so far."""
        self._put(_UPSERT_FACE, session, face.track, face.from_s, face.to_s, face.seen_s, face.analysed_s)

    def label(self, session: int, event: Event, label: str, prior: dict[str, float]) -> None:
        """Store the class that a person gives the event, and the bundle's own probabilities of it.

        The newest label of an event counts.
        """
        self.put_coding(Coding(session, event.id, label=label), event, prior)

    def put_coding(self, coding: Coding, event: Event | None = None, prior: dict[str, float] | None = None) -> None:
        """Add a coding, which replaces the coder's earlier ones of its event. Nothing is overwritten.

        Args:
            coding: Its `given` is set here, if it is not set.
            event: What the machine said of the event, so that a label can become a sample; None for a missed event.
            prior: The bundle's own probabilities of the event.
        """
        values = [getattr(coding, name) for name in _CODING]
        values[_CODING.index("aus")] = None if coding.aus is None else json.dumps(coding.aus)
        values[_CODING.index("given")] = coding.given or now()
        prediction = (event.bundle_sha256, event.embedding) if event else ("", None)
        aus = event.aus if event else {}
        self._put(_INSERT_CODING, *values, *prediction, json.dumps(prior or {}), json.dumps(aus))

    def undo_coding(self, session: int, coder: str = "") -> None:
        """Take back the newest coding of a coder in a session; the one before it stands again."""
        self._put(_UNDO_CODING, now(), session, coder)

    def replace_sessions(self, old: Iterable[int], new: int) -> None:
        """Delete sessions that a later run repeated as session `new`, which takes over their codings."""
        for session in old:
            self._put("UPDATE codings SET session = ? WHERE session = ?", new, session)
            self._put(_KEEP_NAME, session, new)
            for table in _TABLES_OF_A_SESSION:
                self._put(f"DELETE FROM {table} WHERE session = ?", session)
            self._put("DELETE FROM sessions WHERE id = ?", session)

    def rename_session(self, session: int, name: str) -> None:
        """Give a session a name; its source stays."""
        self._put("UPDATE sessions SET name = ? WHERE id = ?", plain(name), session)

    def delete_sessions(self, sessions: Iterable[int]) -> None:
        """Delete sessions with all they hold, codings too, and wait until they are gone.

        Raises:
            UserError: They cannot be deleted.
        """
        for session in sessions:
            for table in (*_TABLES_OF_A_SESSION, "codings"):
                self._put(f"DELETE FROM {table} WHERE session = ?", session)
            self._put("DELETE FROM sessions WHERE id = ?", session)
        self.flush()

    def settle_ages(self) -> None:
        """Tell the age of what earlier programs recorded by the clock of this one, which goes on whatever is set."""
        for sql in _SETTLE_AGES:
            self._put(sql, self._recorded())

    def purge_expired(self, at: datetime | None = None) -> None:
        """Delete what is older now, or at the time `at`, than the retention that its session was recorded under.

        That is events with their images and clips, and sessions that ended, with all they hold. Sessions without a
        retention stay. Codings stay: they contain no images.
        """
        for sql in _PURGE:
            self._put(sql, iso_time(at or self._clock.now()))
        for sql in _DELETE_ORPHANS:
            self._put(sql)

    def purge_to_size(self, limit_bytes: float) -> None:
        """Delete the oldest events of cameras, with images and clips, until what is left takes less than a size."""
        with open_for_reading(self.path) as connection:
            used = connection.execute(_USED).fetchone()[0]
            if used <= limit_bytes:
                return
            excess = used - (1 - SIZE_MARGIN) * limit_bytes
            sized = connection.execute(f"SELECT recorded FROM ({_SIZES}) WHERE size >= ? LIMIT 1", (excess,)).fetchone()
            until = sized[0] if sized else connection.execute("SELECT max(recorded) FROM events").fetchone()[0]
        for sql in _PURGE_UNTIL:
            self._put(sql, until)
        for sql in _DELETE_ORPHANS:
            self._put(sql)

    def remember_consent(self, consent: Consent) -> None:
        """Keep what was agreed to for all cameras; `read_consent` finds it after a restart."""
        self._put("INSERT INTO consents (purpose, given) VALUES (?, ?)", consent.purpose, consent.given)

    def delete_all(self) -> None:
        """Delete all sessions, events and codings, and wait until they are gone, or `deletion_pending` says otherwise.

        Raises:
            UserError: They cannot be deleted.
        """
        for table in (*_TABLES_OF_A_SESSION, "codings", "sessions", "consents"):
            self._put(f"DELETE FROM {table}")
        self.flush()

    def flush(self) -> None:
        """Wait until all that was put so far can be read.

        Raises:
            UserError: The last of it cannot be written.
        """
        self._execute("SELECT 1")

    def close(self, *, waits: bool = True) -> None:
        """Write what is left and close the file. Waits as long as another program locks it, until Ctrl-C.

        Args:
            waits: False tries once, and waits for no lock.

        Raises:
            UserError: Some of it cannot be written. What was written before stays.
        """
        if not waits:
            self._given_up.set()
        if not self._closing.is_set():
            self._queue.put(None)
            self._closing.set()
        interruption = self._await_end()
        if lost := len(self._unwritten) + self._left_out:
            raise UserError(
                "{reason} Everything recorded before is safe; {count} changes are lost.",
                reason=self.last_error,
                count=lost,
            )
        if interruption:
            raise interruption

    def _await_end(self) -> BaseException | None:
        """Wait for the writer; returns what interrupted that."""
        try:
            self._writer.join()
        except (KeyboardInterrupt, SystemExit) as error:
            self._given_up.set()
            self._writer.join(GIVE_UP_LIMIT_S)
            return error
        return None

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recorded(self) -> str:
        return iso_time(self._clock.now())

    def _put(self, sql: str, *values: Any) -> None:
        self._enqueue(_Write(sql, values))

    def _enqueue(self, write: _Write) -> None:
        if self._closing.is_set():
            raise UserError("{store} is closed.", store=str(self.path))
        self._queue.put(write)

    def _execute(self, sql: str, *values: Any) -> int:
        """Wait for one statement; returns the first column of its row."""
        result: Future[int] = Future()
        self._enqueue(_Write(sql, values, result))
        deadline_s = time.monotonic() + ANSWER_LIMIT_S
        while time.monotonic() < deadline_s and (self._writer.is_alive() or result.done()):
            with suppress(TimeoutError):
                return result.result(timeout=RETRY_S)
        result.cancel()
        raise UserError("{store} does not answer: its disk hangs, or it is being closed.", store=str(self.path))

    def _run(self, connection: sqlite3.Connection) -> None:
        stopping = False
        with closing(connection):
            while not stopping or self._waits_for_lock():
                if self._unwritten:
                    (self._given_up if stopping else self._closing).wait(RETRY_S)
                taken, ends = self._take(wait=not self._unwritten)
                self._unwritten = self._commit(connection, self._unwritten + taken)
                if ends and self._waits_for_lock():
                    logging.getLogger(__name__).warning(
                        "%s Waiting for it with %d changes; Ctrl-C gives them up.",
                        self.last_error,
                        len(self._unwritten),
                    )
                stopping = stopping or ends

    def _waits_for_lock(self) -> bool:
        return bool(self._unwritten) and self._is_locked and not self._given_up.is_set()

    def _take(self, *, wait: bool) -> tuple[list[_Write], bool]:
        """Return what is in the queue now, and whether the store is being closed."""
        items: list[_Write | None] = []
        with suppress(queue.Empty):
            items += [self._queue.get(timeout=RETRY_S if self.deletion_pending else None)] if wait else []
        # The limit keeps a caller that is faster than the disk from delaying the commit without end.
        most = self._queue.qsize() if self._closing.is_set() else min(self._queue.qsize(), BATCH)
        items += [self._queue.get() for _ in range(most)]
        return [item for item in items if item], None in items

    def _commit(self, connection: sqlite3.Connection, writes: list[_Write]) -> list[_Write]:
        """Write all in one transaction, or none; returns what must be tried again."""
        writes = [write for write in writes if write.is_wanted]
        changes = connection.total_changes
        try:
            self._check_place()
            with connection:
                answers = [_answer(connection, write) for write in writes]
        except Exception as error:  # whatever it is, the thread goes on
            self._is_locked = is_locked(error)
            return self._keep(writes, error_message(self.path, error))
        has_deleted = connection.total_changes > changes and any(write.sql.startswith("DELETE") for write in writes)
        if self.deletion_pending or has_deleted:
            self.deletion_pending = not _empty_log(connection)
        answered = list(zip(writes, answers, strict=True))
        for write, answer in answered:
            if isinstance(answer, Exception):
                self._leave_out(write, answer)
        self.last_error = self._left_out_error
        for write, answer in answered:
            if write.result and not isinstance(answer, Exception):
                write.result.set_result(answer)
        return []

    def _check_place(self) -> None:
        """Raise FileNotFoundError where the path does not lead to the open file: nobody would find what is written."""
        if not self.path.exists() or not os.path.samestat(self._file, self.path.stat()):
            raise FileNotFoundError(self.path)

    def _leave_out(self, write: _Write, error: Exception) -> None:
        """Report a change that SQLite cannot hold to the caller that waits, or say it loudly."""
        message = Message("A change cannot be stored in {store}: {reason}.", {"store": self.path, "reason": error})
        if write.result:
            write.result.set_exception(UserError.from_message(message))
            return
        self._left_out, self._left_out_error = self._left_out + 1, message
        logging.getLogger(__name__).error("%s It is lost; all others are kept.", message)

    def _keep(self, writes: list[_Write], message: Message) -> list[_Write]:
        """Report a failure to the callers that wait; returns the writes for which nobody waits."""
        self.last_error = message
        for write in writes:
            if write.result:
                write.result.set_exception(UserError.from_message(message))
        return [write for write in writes if not write.result]


def _empty_log(connection: sqlite3.Connection) -> bool:
    """Empty the write-ahead log, which holds what was deleted; returns whether no reader prevents it."""
    try:
        connection.execute(f"PRAGMA busy_timeout = {LOG_WAIT_MS}")
        is_busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout = {round(1000 * LOCK_WAIT_S)}")
    except sqlite3.Error:
        return False
    return not is_busy


def _answer(connection: sqlite3.Connection, write: _Write) -> Any:
    """Run one statement; returns the first column of its row, or the error of a statement that can never succeed.

    An error of the file is raised: all of the transaction is tried again. Others leave the transaction as it was.
    """
    try:
        row = connection.execute(write.sql, write.values).fetchone()
    except (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError) as error:
        return error
    except (sqlite3.Error, MemoryError):
        raise
    except Exception as error:
        return error
    return row[0] if row else None


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the millisecond."""
    return iso_time(datetime.now(UTC))
