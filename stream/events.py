"""What the pipeline says: one `Event` per expression, the fields that every output carries, and the SQLite store."""

import json
import math
import queue
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from merau.engine.errors import UserError

KINDS = ("micro", "macro", "blink", "head", "speech", "other")


@dataclass(frozen=True)
class Event:
    """One facial event of one face.

    Times are seconds from the source's first frame; `onset_wall` is the onset on the clock, ISO 8601 in UTC, None where
    the source has none. `strength` is how far the strongest patches moved, px of a 128-px crop, `aus` a probability per
    Action Unit number, `probabilities` one per class, `quality` is 0..1. An event is said twice under one `id`:
    provisional at the apex (`final` False, its offset an estimate), final after the offset. Pictures are None unless
    they were asked for. `embedding` is what the recognizer's trunk saw, (d,) float32 as bytes, None where it was not
    asked: from it and a person's label new classes are taught.
    """

    id: str
    source: str
    track: int
    kind: str
    onset_s: float
    apex_s: float
    offset_s: float
    onset_wall: str | None
    strength: float
    aus: dict[str, float]
    probabilities: dict[str, float]
    label: str
    uncertain: bool
    quality: float
    final: bool
    bundle: str
    bundle_sha256: str
    onset_jpeg: bytes | None = None
    apex_jpeg: bytes | None = None
    flow_png: bytes | None = None
    embedding: bytes | None = None


PICTURES = ("onset_jpeg", "apex_jpeg", "flow_png")
BLOBS = (*PICTURES, "embedding")
FIELDS = tuple(name for name in Event.__dataclass_fields__ if name not in BLOBS)


@dataclass(frozen=True)
class Consent:
    """What a session may be used for, and when those in view agreed to it (ISO 8601 in UTC)."""

    purpose: str
    given: str


def event_fields(event: Event) -> dict[str, Any]:
    """The event as JSON fields, without its blobs: the one form that the JSON document, the live lines, the store
    and every export share. Numbers are rounded to 4 decimals; a number that is not finite becomes None.
    """
    return {name: _plain(getattr(event, name)) for name in FIELDS}


def by_onset(event: Event) -> tuple[float, str]:
    """The order in which events are listed, the same in the store and out of it."""
    return round(event.onset_s, 4), event.id


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, bool, int)):
        return value
    number = round(float(value), 4)
    return number if math.isfinite(number) else None


# --- the store --------------------------------------------------------------------------------------------------------

APPLICATION_ID = 0x4D455241  # "MERA", in the file's header: another program's database is refused
LOCK_WAIT_S = 1.0  # how long one try waits for another program's lock
RETRY_S = 1.0  # after a failed try; nothing is dropped in between
BATCH = 256  # changes that one transaction takes up, until the store is closed

MIGRATIONS = (
    """
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY, source TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, wall_zero TEXT,
        settings TEXT NOT NULL, bundle TEXT NOT NULL, bundle_sha256 TEXT NOT NULL,
        frames INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0, gaps TEXT NOT NULL DEFAULT '[]'
    );
    CREATE TABLE events (
        session INTEGER NOT NULL REFERENCES sessions (id), id TEXT NOT NULL, source TEXT NOT NULL,
        track INTEGER NOT NULL, kind TEXT NOT NULL, onset_s REAL, apex_s REAL, offset_s REAL, onset_wall TEXT,
        strength REAL, aus TEXT NOT NULL, probabilities TEXT NOT NULL, label TEXT NOT NULL, uncertain INTEGER NOT NULL,
        quality REAL,
        final INTEGER NOT NULL, bundle TEXT NOT NULL, bundle_sha256 TEXT NOT NULL,
        onset_jpeg BLOB, apex_jpeg BLOB, flow_png BLOB,
        PRIMARY KEY (session, id)
    );
    CREATE INDEX events_by_onset ON events (session, onset_s);
    """,
    """
    ALTER TABLE sessions ADD COLUMN purpose TEXT;
    ALTER TABLE sessions ADD COLUMN consented TEXT;
    ALTER TABLE events ADD COLUMN embedding BLOB;
    CREATE TABLE clips (
        session INTEGER NOT NULL, event TEXT NOT NULL, mp4 BLOB NOT NULL, PRIMARY KEY (session, event)
    );
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY, session INTEGER NOT NULL, event TEXT NOT NULL, label TEXT NOT NULL, given TEXT NOT NULL,
        bundle_sha256 TEXT NOT NULL, embedding BLOB, probabilities TEXT NOT NULL, aus TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE judgements (
        session INTEGER NOT NULL, event TEXT NOT NULL, final INTEGER NOT NULL, probabilities TEXT NOT NULL,
        label TEXT NOT NULL, uncertain INTEGER NOT NULL, PRIMARY KEY (session, event)
    );
    CREATE TABLE curves (
        session INTEGER NOT NULL, track INTEGER NOT NULL, bin_s REAL NOT NULL, motion BLOB NOT NULL,
        noise BLOB NOT NULL, PRIMARY KEY (session, track)
    );
    """,
    """
    CREATE TABLE numbered (
        id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, wall_zero TEXT,
        settings TEXT NOT NULL, bundle TEXT NOT NULL, bundle_sha256 TEXT NOT NULL,
        frames INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0, gaps TEXT NOT NULL DEFAULT '[]',
        purpose TEXT, consented TEXT
    );
    INSERT INTO numbered SELECT * FROM sessions;
    DROP TABLE sessions;
    ALTER TABLE numbered RENAME TO sessions;
    DELETE FROM sqlite_sequence;
    INSERT INTO sqlite_sequence (name, seq) SELECT 'sessions', max(id) FROM (
        SELECT 0 AS id UNION SELECT id FROM sessions UNION SELECT session FROM events UNION SELECT session FROM labels
    );
    -- numbers of forgotten sessions were given again, and their labels taken for those of the new ones
    UPDATE labels SET session = -id WHERE given < (SELECT started FROM sessions WHERE sessions.id = labels.session)
    """,
)
"""Schema n is what the first n scripts make; a change to the schema is one more script at the end."""

_COLUMNS = ("session", *FIELDS, *BLOBS)
_UPSERT = (
    f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    "ON CONFLICT (session, id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in FIELDS if name != "id")
    + "".join(f", {name} = coalesce(excluded.{name}, {name})" for name in BLOBS)
)
_BEGIN = (
    "INSERT INTO sessions (source, started, settings, bundle, bundle_sha256, purpose, consented) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_PROGRESS = "UPDATE sessions SET wall_zero = ?, frames = ?, dropped = ?, gaps = ?, ended = ? WHERE id = ?"
_LABEL = (
    "INSERT INTO labels (session, event, label, given, bundle_sha256, embedding, probabilities, aus) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_CURVE = "INSERT OR REPLACE INTO curves (session, track, bin_s, motion, noise) VALUES (?, ?, ?, ?, ?)"
_JUDGE = "INSERT INTO judgements (session, event, final, probabilities, label, uncertain) VALUES (?, ?, ?, ?, ?, ?)"
_JUDGED = ("probabilities", "label", "uncertain")
# The final word on an event was judged when it was said: what was judged anew is its provisional word.
_OF_EVENT = (
    "ON judgements.session = events.session AND judgements.event = events.id AND judgements.final = events.final"
)
_AS_FIRST = (
    "DELETE FROM judgements WHERE EXISTS (SELECT 1 FROM events WHERE session = judgements.session "
    "AND id = judgements.event AND label = judgements.label AND probabilities = judgements.probabilities)"
)
_UNLABEL = "DELETE FROM labels WHERE id = (SELECT max(id) FROM labels)"
_OF_SESSIONS = ("clips", "curves", "judgements", "events")  # tables of what a session left
# A recording tells when it was filmed: its events are as old as its session.
_FORGET = (
    "DELETE FROM sessions WHERE ended < ?1",
    "DELETE FROM events WHERE session NOT IN (SELECT id FROM sessions) OR "
    "max(coalesce(onset_wall, ''), (SELECT started FROM sessions WHERE sessions.id = events.session)) < ?1",
)
_ORPHANS = (
    "DELETE FROM clips WHERE (session, event) NOT IN (SELECT session, id FROM events)",
    "DELETE FROM judgements WHERE (session, event) NOT IN (SELECT session, id FROM events)",
    "DELETE FROM curves WHERE session NOT IN (SELECT id FROM sessions)",
)


@dataclass(frozen=True)
class Session:
    """One run over one source; `ended` is None while it runs. In its `gaps` (from_s, to_s) the source gave nothing.

    `purpose` and `consented` (ISO 8601 in UTC) are None where nobody was asked: recordings, and `merau watch`.
    """

    id: int
    source: str
    started: str
    ended: str | None
    wall_zero: str | None
    settings: dict[str, Any]
    bundle: str
    bundle_sha256: str
    frames: int
    dropped: int
    gaps: list[tuple[float, float]]
    purpose: str | None
    consented: str | None


@dataclass(frozen=True)
class Label:
    """What a person called an event, with what the trunk `bundle_sha256` saw of it: a sample to teach from.

    `embedding` is (d,) float32 as bytes, None for an event that the recognizer never judged; `probabilities` are of the
    bundle's own classes, whatever else was taught.
    """

    id: int
    session: int
    event: str
    label: str
    given: str
    bundle_sha256: str
    embedding: bytes | None
    probabilities: dict[str, float]
    aus: dict[str, float]


@dataclass(frozen=True)
class Curve:
    """Motion and noise floor of one face over a session: (N,) float32 px of the crop, each the largest of its `bin_s`;
    NaN where the face was not analysed.
    """

    track: int
    bin_s: float
    motion_px: np.ndarray
    noise_px: np.ndarray


@dataclass(frozen=True)
class _Write:
    sql: str
    values: tuple[Any, ...]
    answer: Future[int] | None = None  # someone waits: a failure is told them, and the write is not tried again


class Store:
    """Events in one SQLite file, written by one thread: `put` never waits for the disk.

    A write that fails (full disk, another program's lock) is kept and tried again every second; meanwhile `trouble`
    holds the reason as a sentence. `close` tries a last time and raises UserError if events remain unwritten. What was
    written before stays. Pictures are stored with `keep_pictures` only. Opening raises UserError for a file that is
    not ours.
    """

    def __init__(self, path: Path, *, keep_pictures: bool = False) -> None:
        self.path = path
        self.keep_pictures = keep_pictures
        self.trouble = ""
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._unwritten = 0
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write, args=(_open_for_writing(path),), name="store", daemon=True)
        self._writer.start()
        # Of a killed process; one that lives, in another process, says within seconds that it does: see `progress`.
        self._queue.put(_Write("UPDATE sessions SET ended = ? WHERE ended IS NULL", (now(),)))

    def begin(
        self,
        source: str,
        *,
        settings: dict[str, Any],
        bundle: str,
        bundle_sha256: str,
        consent: Consent | None = None,
    ) -> int:
        """Start a session; returns its number, under which events are put. Raises UserError when that fails."""
        agreed = (consent.purpose, consent.given) if consent else (None, None)
        return self._ask(_BEGIN, (source, now(), json.dumps(settings), bundle, bundle_sha256, *agreed))

    def put(self, session: int, event: Event) -> None:
        """Insert the event, or replace what was said before under its id."""
        row = [json.dumps(value) if isinstance(value, dict) else value for value in event_fields(event).values()]
        pictures = [getattr(event, name) if self.keep_pictures else None for name in PICTURES]
        self._queue.put(_Write(_UPSERT, (session, *row, *pictures, event.embedding)))

    def judge_anew(self, events: Iterable[tuple[int, Event]]) -> None:
        """From now on these events, each with its session, are taken for what is said here, all others for what was
        first said of them, which is kept.
        """
        self._queue.put(_Write("DELETE FROM judgements", ()))
        for session, event in events:
            said = (json.dumps(_plain(event.probabilities)), event.label, event.uncertain)
            self._queue.put(_Write(_JUDGE, (session, event.id, event.final, *said)))
        self._queue.put(_Write(_AS_FIRST, ()))

    def put_clip(self, session: int, event_id: str, mp4: bytes) -> None:
        """Keep the film of an event."""
        self._queue.put(_Write("INSERT OR REPLACE INTO clips VALUES (?, ?, ?)", (session, event_id, mp4)))

    def put_curve(self, session: int, curve: Curve) -> None:
        """Keep how a face moved, in place of what was kept of it before."""
        blobs = [values.astype(np.float16).tobytes() for values in (curve.motion_px, curve.noise_px)]
        self._queue.put(_Write(_CURVE, (session, curve.track, curve.bin_s, *blobs)))

    def label(self, session: int, event: Event, label: str, prior: dict[str, float]) -> None:
        """Note what a person calls the event, and what the bundle's own head says of it. The newest label counts."""
        judged = (event.bundle_sha256, event.embedding, json.dumps(prior), json.dumps(event.aus))
        self._queue.put(_Write(_LABEL, (session, event.id, label, now(), *judged)))

    def unlabel(self) -> None:
        """Take the newest label back."""
        self._queue.put(_Write(_UNLABEL, ()))

    def forget(self, before: datetime) -> None:
        """Delete the events from before this time, also of sessions that still run, with their pictures and films, and
        the sessions that ended before it with all they left; labels stay, they show nobody.
        """
        limit = (before.astimezone(UTC).isoformat(timespec="milliseconds"),)
        for sql in _FORGET:
            self._queue.put(_Write(sql, limit))
        for sql in _ORPHANS:
            self._queue.put(_Write(sql, ()))

    def delete_all(self) -> None:
        """Delete every session, all it left, every label; wait until the file holds none of it. UserError if not."""
        for table in (*_OF_SESSIONS, "labels", "sessions"):
            self._queue.put(_Write(f"DELETE FROM {table}", ()))
        self.flush()

    def flush(self) -> None:
        """Wait until what was put so far can be read. Raises UserError when the last of it cannot be written."""
        self._ask("SELECT 1", ())

    def _ask(self, sql: str, values: tuple[Any, ...]) -> int:
        answer: Future[int] = Future()
        self._queue.put(_Write(sql, values, answer))
        return answer.result()

    def progress(
        self,
        session: int,
        *,
        wall_zero: datetime | None,
        frames: int,
        dropped: int,
        gaps: Sequence[tuple[float, float]],
        ended: bool = False,
    ) -> None:
        """Note how far the session has come; the gaps are replaced whole."""
        zero = wall_zero.isoformat(timespec="milliseconds") if wall_zero else None
        values = (zero, frames, dropped, json.dumps(gaps), now() if ended else None, session)
        self._queue.put(_Write(_PROGRESS, values))

    def close(self) -> None:
        """Write what is left. Raises UserError when that fails."""
        self._queue.put(None)
        self._closing.set()
        self._writer.join()
        if self._unwritten:
            raise UserError(f"{self.trouble} What was recorded before is safe; {self._unwritten} changes are lost.")

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, connection: sqlite3.Connection) -> None:
        pending: list[_Write] = []
        stopping = False
        with closing(connection):
            while not stopping:
                if pending:
                    self._closing.wait(RETRY_S)
                taken, stopping = self._take(wait=not pending)
                pending = self._commit(connection, pending + taken)
        self._unwritten = len(pending)

    def _take(self, *, wait: bool) -> tuple[list[_Write], bool]:
        """What is in the queue now, and whether the store is being closed."""
        items = [self._queue.get()] if wait else []
        # No more than this: whoever puts faster than the disk takes must not put off the commit for long.
        most = self._queue.qsize() if self._closing.is_set() else min(self._queue.qsize(), BATCH)
        items += [self._queue.get() for _ in range(most)]
        return [item for item in items if item], None in items

    def _commit(self, connection: sqlite3.Connection, writes: list[_Write]) -> list[_Write]:
        """Write all in one transaction, or none; returns what has to be tried again."""
        try:
            with connection:
                rows = [connection.execute(write.sql, write.values).fetchone() for write in writes]
        except sqlite3.Error as error:
            self.trouble = _sentence(self.path, error)
            for write in writes:
                if write.answer:
                    write.answer.set_exception(UserError(self.trouble))
            return [write for write in writes if not write.answer]
        self.trouble = ""
        if any(write.sql.startswith("DELETE") for write in writes):
            with suppress(sqlite3.Error):  # the log still holds what was deleted, at the latest until the next time
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        for write, row in zip(writes, rows, strict=True):
            if write.answer:
                write.answer.set_result(row[0])
        return []


def read_sessions(path: Path) -> list[Session]:
    """Every session of the store, the oldest first. Raises UserError when the file is not a store."""
    with _reading(path) as connection:
        rows = [dict(row) for row in connection.execute("SELECT * FROM sessions ORDER BY id")]
    for row in rows:
        row["settings"] = json.loads(row["settings"])
        row["gaps"] = [(start_s, end_s) for start_s, end_s in json.loads(row["gaps"])]
    return [Session(**row) for row in rows]


def read_events(path: Path, session: int | None = None) -> Iterator[Event]:
    """The events of one session, or of all, by onset, as they are judged now. UserError when the file is no store."""
    columns = (
        f"coalesce(judgements.{name}, events.{name}) AS {name}" if name in _JUDGED else f"events.{name}"
        for name in _COLUMNS[1:]
    )
    chosen = (
        f"SELECT {', '.join(columns)} FROM events LEFT JOIN judgements {_OF_EVENT} "
        "WHERE ?1 IS NULL OR events.session = ?1 ORDER BY events.session, onset_s, events.id"
    )
    with _reading(path) as connection:
        for row in connection.execute(chosen, (session,)):
            yield _event(dict(row))


def read_firsts(path: Path, session: int) -> dict[str, dict[str, Any]]:
    """The fields `probabilities`, `label` and `uncertain` as first said of those events of a session that are judged
    otherwise now. Raises UserError when the file is not a store.
    """
    chosen = (
        f"SELECT event, {', '.join(f'events.{name}' for name in _JUDGED)} FROM events "
        f"JOIN judgements {_OF_EVENT} WHERE events.session = ?"
    )
    with _reading(path) as connection:
        rows = connection.execute(chosen, (session,)).fetchall()
    return {
        row["event"]: {
            "probabilities": json.loads(row["probabilities"]),
            "label": row["label"],
            "uncertain": bool(row["uncertain"]),
        }
        for row in rows
    }


def read_curves(path: Path, session: int) -> list[Curve]:
    """How each face of a session moved, as far as that was kept. Raises UserError when the file is not a store."""
    with _reading(path) as connection:
        rows = connection.execute("SELECT * FROM curves WHERE session = ? ORDER BY track", (session,)).fetchall()
    values = [[np.frombuffer(row[name], np.float16).astype(np.float32) for name in ("motion", "noise")] for row in rows]
    return [Curve(row["track"], row["bin_s"], *pair) for row, pair in zip(rows, values, strict=True)]


def read_clip(path: Path, session: int, event_id: str) -> bytes | None:
    """The film of an event as MP4, None where none was kept. Raises UserError when the file is not a store."""
    with _reading(path) as connection:
        chosen = "SELECT mp4 FROM clips WHERE session = ? AND event = ?"
        row = connection.execute(chosen, (session, event_id)).fetchone()
    return row["mp4"] if row else None


def read_film_ids(path: Path, session: int) -> set[str]:
    """The events of a session of which a film was kept. Raises UserError when the file is not a store."""
    with _reading(path) as connection:
        return {row["event"] for row in connection.execute("SELECT event FROM clips WHERE session = ?", (session,))}


def read_labels(path: Path) -> list[Label]:
    """The newest label of each event, the oldest first. Raises UserError when the file is not a store."""
    newest = "SELECT * FROM labels WHERE id IN (SELECT max(id) FROM labels GROUP BY session, event) ORDER BY id"
    with _reading(path) as connection:
        rows = [dict(row) for row in connection.execute(newest)]
    return [Label(**(row | {name: json.loads(row[name]) for name in ("probabilities", "aus")})) for row in rows]


def _event(row: dict[str, Any]) -> Event:
    row["aus"], row["probabilities"] = json.loads(row["aus"]), json.loads(row["probabilities"])
    row["uncertain"], row["final"] = bool(row["uncertain"]), bool(row["final"])
    return Event(**row)


def now() -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _open_for_writing(path: Path) -> sqlite3.Connection:
    try:
        # Opened here, so that what is wrong with the file is told to the caller; used by the writer thread alone.
        connection = sqlite3.connect(path, timeout=LOCK_WAIT_S, check_same_thread=False)
        try:
            if not _is_new(connection):
                _check_ours(path, connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
            migrate(connection, MIGRATIONS)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise UserError(_sentence(path, error)) from error
    return connection


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise UserError(f"There is no store at {path}.")
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_WAIT_S)) as connection:
            connection.row_factory = sqlite3.Row
            _check_ours(path, connection)
            if _schema(connection) < len(MIGRATIONS):
                _open_for_writing(path).close()  # an older merau's store lacks what is asked for here
            yield connection
    except sqlite3.Error as error:
        raise UserError(_sentence(path, error)) from error


def _is_new(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0


def _schema(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _check_ours(path: Path, connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise UserError(f"{path} is not a store of merau but another program's database: name another file.")
    if _schema(connection) > len(MIGRATIONS):
        raise UserError(
            f"{path} was written by a newer merau (schema {_schema(connection)}, this one knows {len(MIGRATIONS)}): "
            "update merau-live, or name another file."
        )


def migrate(connection: sqlite3.Connection, scripts: tuple[str, ...]) -> None:
    """Bring the database to schema `len(scripts)`: the scripts it has not seen run in one transaction, all or none."""
    if _schema(connection) == len(scripts):
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for script in scripts[_schema(connection) :]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(scripts)}")


def _sentence(path: Path, error: sqlite3.Error) -> str:
    """One sentence for a person, from SQLite's primary result code."""
    reasons = {
        sqlite3.SQLITE_FULL: f"The disk is full: nothing more can be written to {path}.",
        sqlite3.SQLITE_IOERR: f"The disk refused to take more data for {path} (full, over quota, or failing).",
        sqlite3.SQLITE_BUSY: f"{path} is locked by another program.",
        sqlite3.SQLITE_NOTADB: f"{path} is not a store: it is not an SQLite database.",
        sqlite3.SQLITE_CORRUPT: f"{path} is damaged and cannot be read.",
        sqlite3.SQLITE_READONLY: f"{path} may not be written to.",
        sqlite3.SQLITE_CANTOPEN: f"{path} cannot be opened: does its folder exist, and may you write there?",
    }
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return reasons.get(code, f"{path} cannot be used: {error}.")
