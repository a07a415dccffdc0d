"""The queue of alarms on disk: what was put in is delivered, or listed as a dead letter, whatever is killed."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from merau.engine.errors import UserError
from merau.stream.store.schema import FAILURES, LOCK_WAIT_S, user_error

APPLICATION_ID = 0x4D524151  # "MRAQ"
MAX_PAUSE_S = 300.0  # between two tries
DELIVERED_KEPT_S = 7 * 86400.0  # keys of delivered alarms, so that none is put in twice
DEAD_KEPT_S = 30 * 86400.0
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS alarms (
        id INTEGER PRIMARY KEY, receiver TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, put_s REAL NOT NULL,
        due_s REAL NOT NULL, tries INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'waiting',
        error TEXT NOT NULL DEFAULT '', UNIQUE (receiver, key)
    );
    CREATE INDEX IF NOT EXISTS alarms_by_due ON alarms (receiver, state, due_s);
    CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY CHECK (one = 1), told_until TEXT NOT NULL)
"""
_FIELDS = "id, receiver, key, body, put_s, tries, error"


@dataclass(frozen=True)
class Delivery:
    """An alarm on its way to one receiver.

    Attributes:
        id: Its number in the queue; an earlier alarm has a lower one.
        receiver: Whom to tell: "mqtt", or "webhook:" and a name.
        key: The alarm's idempotency key, the same at every try and receiver.
        body: The JSON text to deliver.
        put_s: When it was put in, seconds since 1970.
        tries: How often it failed.
        error: Why it failed last; "" before it did.
    """

    id: int
    receiver: str
    key: str
    body: str
    put_s: float
    tries: int
    error: str


class AlarmQueue:
    """Alarms in an SQLite file. What `put` returned from survives a kill. May be used from any thread.

    Raises:
        UserError: From every method, when the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises UserError when it is not a queue."""
        self.path = path
        self._lock = threading.Lock()
        with self._told_errors():
            self._connection = _open(path)

    def put(self, receiver: str, key: str, body: str) -> bool:
        """Put an alarm in; False where the receiver has, or had, one of this key."""
        sql = "INSERT OR IGNORE INTO alarms (receiver, key, body, put_s, due_s) VALUES (?, ?, ?, ?, ?)"
        return self._change(sql, receiver, key, body, time.time(), time.time()) > 0

    def note_told(self, until: str) -> None:
        """Note that every event which was recorded before a time has become an alarm, or will be none.

        Args:
            until: As the store writes times.
        """
        self._change("INSERT OR REPLACE INTO progress VALUES (1, ?)", until)

    def told_until(self) -> str:
        """Return what `note_told` noted last; "" in a new queue."""
        with self._lock, self._told_errors():
            row = self._connection.execute("SELECT told_until FROM progress").fetchone()
        return str(row[0]) if row else ""

    def next_due(self, receiver: str) -> Delivery | None:
        """Return the oldest alarm of a receiver that may be tried now.

        A time that lies further ahead than any pause is that of a clock which was set back: it counts as now.
        """
        sql = (
            f"SELECT {_FIELDS} FROM alarms WHERE receiver = ?1 AND state = 'waiting' "
            "AND (due_s <= ?2 OR due_s > ?2 + ?3) ORDER BY id LIMIT 1"
        )
        found = self._read(sql, receiver, time.time(), 2 * MAX_PAUSE_S)
        return found[0] if found else None

    def note_delivered(self, delivery: Delivery) -> None:
        """Take an alarm out; its key is remembered for a week."""
        self._change("UPDATE alarms SET state = 'delivered', body = '', error = '' WHERE id = ?", delivery.id)

    def note_failed(self, delivery: Delivery, error: str, pause_s: float) -> None:
        """Try an alarm again after a pause."""
        sql = "UPDATE alarms SET due_s = ?, tries = tries + 1, error = ? WHERE id = ?"
        self._change(sql, time.time() + pause_s, error, delivery.id)

    def set_aside(self, delivery: Delivery, error: str) -> None:
        """Make an alarm a dead letter: it is listed, and not tried again by itself."""
        sql = "UPDATE alarms SET state = 'dead', tries = tries + 1, error = ? WHERE id = ?"
        self._change(sql, error, delivery.id)

    def dead_letters(self) -> list[Delivery]:
        """Return what could not be delivered, the oldest first."""
        return self._read(f"SELECT {_FIELDS} FROM alarms WHERE state = 'dead' ORDER BY id")

    def revive(self, number: int | None = None) -> int:
        """Let a dead letter, or all, be tried again, as if it were new; returns how many."""
        sql = (
            "UPDATE alarms SET state = 'waiting', put_s = ?1, due_s = ?1, tries = 0 "
            "WHERE state = 'dead' AND (?2 IS NULL OR id = ?2)"
        )
        return self._change(sql, time.time(), number)

    def counts(self) -> dict[tuple[str, str], int]:
        """Count the alarms by receiver and state: "waiting", "delivered", "dead"."""
        with self._lock, self._told_errors():
            rows = self._connection.execute("SELECT receiver, state, count(*) FROM alarms GROUP BY receiver, state")
            return {(receiver, state): count for receiver, state, count in rows}

    def forget_old(self) -> None:
        """Delete the keys of what was delivered a week ago, and dead letters of a month ago."""
        now_s = time.time()
        for state, kept_s in (("delivered", DELIVERED_KEPT_S), ("dead", DEAD_KEPT_S)):
            self._change("DELETE FROM alarms WHERE state = ? AND put_s < ?", state, now_s - kept_s)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _change(self, sql: str, *values: object) -> int:
        with self._lock, self._told_errors(), self._connection:
            return self._connection.execute(sql, values).rowcount

    def _read(self, sql: str, *values: object) -> list[Delivery]:
        with self._lock, self._told_errors():
            return [Delivery(*row) for row in self._connection.execute(sql, values)]

    @contextmanager
    def _told_errors(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise user_error(self.path, error) from error


def _open(path: Path) -> sqlite3.Connection:
    with suppress(OSError):  # a new file is for this user only
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(path, timeout=LOCK_WAIT_S, check_same_thread=False)
    try:
        is_new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not is_new and connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise UserError("{path} is no queue of alarms: name another file.", path=path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a power cut loses nothing either
        connection.execute("PRAGMA secure_delete = ON")
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}; PRAGMA application_id = {APPLICATION_ID}; COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection
