"""A store as a whole: backed up while programs write to it, restored, and checked row by row."""

import itertools
import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from merau.engine.errors import UserError
from merau.stream.store.reader import read_codings, read_events, read_sessions
from merau.stream.store.schema import FAILURES, LOCK_WAIT_S, open_for_reading, user_error

MAX_FAULTS = 10  # of the file that are named
_ORPHANS = {  # what refers to nothing; codings stay without their session, as retention leaves them
    "clips of events that are not there": "SELECT count(*) FROM clips WHERE (session, event) NOT IN "
    "(SELECT session, id FROM events)",
    **{
        f"{table} of sessions that are not there": f"SELECT count(*) FROM {table} WHERE session NOT IN "
        "(SELECT id FROM sessions)"
        for table in ("events", "faces", "curves")
    },
}


@dataclass(frozen=True)
class StoreCheck:
    """What a check of a store found.

    Attributes:
        sessions: Sessions that can be read.
        events: Events that can be read.
        codings: Codings that count.
        faults: What is damaged or refers to nothing, as sentences.
    """

    sessions: int
    events: int
    codings: int
    faults: tuple[str, ...]


def back_up(path: Path, out: Path) -> StoreCheck:
    """Copy a store into one file as it is at this moment; programs that write to it go on.

    Args:
        path: The store.
        out: The copy; it must not be there. It appears when it is whole.

    Returns:
        What a check of the copy found. A damaged store is copied as it is.

    Raises:
        UserError: The store cannot be read, or the copy cannot be written.
    """
    _refuse_existing(out)
    part = out.with_name(f".{out.name}.part")
    try:
        with open_for_reading(path) as source:
            _copy(source, part)
        found = check_store(part)
        part.replace(out)
        return found
    except OSError as error:
        raise UserError("{path} cannot be written: {reason}.", path=out, reason=error.strerror) from error
    finally:
        for left in (part, *_logs(part)):
            with suppress(OSError):
                left.unlink()


def restore(backup: Path, path: Path) -> tuple[StoreCheck, Path | None]:
    """Put a copy of a backup in the place of a store. What was there is kept under another name.

    Returns:
        What a check of the backup found, and the new name of the store that was there; None if there was none.

    Raises:
        UserError: The backup cannot be read, or a program uses the store.
    """
    part = path.with_name(f".{path.name}.restored")
    found = back_up(backup, part)
    try:
        earlier = _set_aside(path) if path.exists() else None
        for log in _logs(path):  # of a store that was moved away: SQLite would add it to the new one
            if log.exists():
                raise UserError("{log} is in the way: move it to the store that it belongs to.", log=log)
        part.replace(path)
        return found, earlier
    except OSError as error:
        raise UserError("{path} cannot be written: {reason}.", path=path, reason=error.strerror) from error
    finally:
        part.unlink(missing_ok=True)


def check_store(path: Path) -> StoreCheck:
    """Check the file, and read each session, event and coding of it.

    Raises:
        UserError: The file is not a store, or so damaged that nothing can be read.
    """
    with open_for_reading(path) as connection:
        faults = [f"{row[0]}" for row in connection.execute(f"PRAGMA integrity_check({MAX_FAULTS})") if row[0] != "ok"]
        for what, query in _ORPHANS.items():
            if number := connection.execute(query).fetchone()[0]:
                faults.append(f"{number} {what}")
        stored = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("sessions", "events", "current_codings")
        }
    found = {
        "sessions": len(read_sessions(path)),
        "events": sum(1 for _ in read_events(path)),
        "current_codings": len(read_codings(path)),
    }
    faults += [
        f"{stored[table] - found[table]} damaged rows in {table}" for table in found if stored[table] > found[table]
    ]
    return StoreCheck(found["sessions"], found["events"], found["current_codings"], tuple(faults))


def _copy(source: sqlite3.Connection, part: Path) -> None:
    """Copy a database into a file for this user only, which needs no log beside it."""
    os.close(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    try:
        with closing(sqlite3.connect(part)) as target:
            source.backup(target)  # in one step, which is one moment of the store; in its log mode nobody waits
            target.execute("PRAGMA journal_mode = DELETE")
    except FAILURES as error:
        raise user_error(part, error) from error


def _set_aside(path: Path) -> Path:
    """Give a store that nobody uses another name."""
    names = (path.with_name(f"{path.name}.old-{number}") for number in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    try:
        with closing(sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None)) as connection:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # every program that has it open holds a lock
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode = DELETE")  # the whole store is in the file now
            path.replace(aside)
    except FAILURES as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise UserError("A program uses {store}: end it, then restore again.", store=path) from error
        raise user_error(path, error) from error
    return aside


def _logs(path: Path) -> list[Path]:
    return [Path(f"{path}{suffix}") for suffix in ("-wal", "-shm", "-journal")]


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise UserError("{path} is there already: choose another name.", path=path)
