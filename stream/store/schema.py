"""The store's schema: migrations, connections, and SQLite's errors as sentences."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from merau.engine.errors import Message, UserError
from merau.engine.text import plain
from merau.stream.temporary import TemporaryFolder

APPLICATION_ID = 0x4D455241  # "MERA" in the file's header: the database of another program is refused
LOCK_WAIT_S = 1.0  # how long one try waits for another program's lock
MAX_VALUE_BYTES = 128_000_000  # of one text or picture; a row may be as large

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
    -- the number of a purged session could be reused: its labels must not count as those of the new session
    UPDATE labels SET session = -id WHERE given < (SELECT started FROM sessions WHERE sessions.id = labels.session)
    """,
    "ALTER TABLE judgements RENAME TO reclassifications",
    # Nobody stated a retention for the sessions of older versions: they are kept until somebody deletes them.
    """
    ALTER TABLE sessions ADD COLUMN retention_h REAL;
    ALTER TABLE sessions ADD COLUMN content_sha256 TEXT;
    ALTER TABLE sessions ADD COLUMN partial INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX labels_by_event ON labels (session, event)
    """,
    # Rows are only added: a row with `undoes` takes back the coding of that number, and says nothing else.
    """
    CREATE TABLE codings (
        id INTEGER PRIMARY KEY, session INTEGER NOT NULL, event TEXT NOT NULL, coder TEXT NOT NULL,
        given TEXT NOT NULL, undoes INTEGER, kind TEXT, label TEXT, aus TEXT, onset_s REAL, apex_s REAL, offset_s REAL,
        track INTEGER, is_false INTEGER NOT NULL DEFAULT 0, is_missed INTEGER NOT NULL DEFAULT 0,
        note TEXT NOT NULL DEFAULT '', bundle_sha256 TEXT NOT NULL DEFAULT '', embedding BLOB,
        probabilities TEXT NOT NULL DEFAULT '{}', predicted_aus TEXT NOT NULL DEFAULT '{}'
    );
    INSERT INTO codings (id, session, event, coder, given, label, bundle_sha256, embedding, probabilities,
        predicted_aus)
    SELECT id, session, event, '', given, label, bundle_sha256, embedding, probabilities, aus FROM labels;
    DROP TABLE labels;
    CREATE INDEX codings_by_event ON codings (session, event);
    CREATE INDEX codings_by_undone ON codings (undoes);
    CREATE VIEW standing_codings AS SELECT * FROM codings WHERE undoes IS NULL
        AND NOT EXISTS (SELECT 1 FROM codings AS later WHERE later.undoes = codings.id);
    CREATE VIEW current_codings AS SELECT * FROM standing_codings
        WHERE id IN (SELECT max(id) FROM standing_codings GROUP BY session, event, coder)
    """,
    """
    ALTER TABLE sessions ADD COLUMN end_s REAL;
    CREATE TABLE faces (
        session INTEGER NOT NULL, track INTEGER NOT NULL, from_s REAL NOT NULL, to_s REAL NOT NULL,
        seen_s REAL NOT NULL, analysed_s REAL NOT NULL, PRIMARY KEY (session, track)
    )
    """,
    "ALTER TABLE sessions ADD COLUMN name TEXT",
    # `recorded` is by the clock of the program that recorded, see `merau.stream.store.clock`; a session's is its end.
    """
    ALTER TABLE sessions ADD COLUMN recorded TEXT;
    ALTER TABLE events ADD COLUMN recorded TEXT;
    ALTER TABLE events ADD COLUMN head_sha256 TEXT NOT NULL DEFAULT '';
    ALTER TABLE reclassifications ADD COLUMN head_sha256 TEXT NOT NULL DEFAULT '';
    UPDATE sessions SET recorded = ended;
    UPDATE events SET recorded = (
        SELECT max(started, min(coalesce(onset_wall, ''), coalesce(ended, started))) FROM sessions WHERE id = session
    );
    UPDATE events SET head_sha256 = coalesce((
        SELECT json_extract(settings, '$.head_sha256') FROM sessions
        WHERE sessions.id = events.session AND json_valid(settings)
    ), '') WHERE label != ''
    """,
    "CREATE INDEX events_by_recorded ON events (recorded)",
    "ALTER TABLE events ADD COLUMN side TEXT NOT NULL DEFAULT ''",
    """
    ALTER TABLE sessions ADD COLUMN retention_kinds TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE sessions ADD COLUMN consent TEXT;
    CREATE TABLE consents (id INTEGER PRIMARY KEY, purpose TEXT NOT NULL, given TEXT NOT NULL)
    """,
)
"""Script n brings a store from schema n to n + 1. To change the schema, append a script."""

_SQLITE_REASONS = {
    sqlite3.SQLITE_FULL: Message("The disk is full: nothing more can be written to {store}."),
    sqlite3.SQLITE_IOERR: Message("The disk refused to take more data for {store} (full, over quota, or failing)."),
    sqlite3.SQLITE_BUSY: Message("{store} is locked by another program."),
    sqlite3.SQLITE_NOTADB: Message("{store} is not a store: it is not an SQLite database."),
    sqlite3.SQLITE_CORRUPT: Message("{store} is damaged and cannot be read."),
    sqlite3.SQLITE_READONLY: Message("{store} is write-protected."),
    sqlite3.SQLITE_CANTOPEN: Message(
        "{store} cannot be opened: check that its folder exists and that you may write there."
    ),
}

_MAGIC = b"SQLite format 3\0"

FAILURES = (sqlite3.Error, UnicodeDecodeError, OverflowError)  # the last: of a number that SQLite cannot hold


def error_message(path: Path, error: Exception) -> Message:
    """Describe a failure of SQLite in one sentence, by its primary result code."""
    if isinstance(error, FileNotFoundError):
        return Message("{store} was moved, deleted or replaced while it was in use: put it back.", {"store": str(path)})
    code = _primary_code(error)
    if code in _SQLITE_REASONS:
        return replace(_SQLITE_REASONS[code], values={"store": str(path)})
    return Message("{store} cannot be used: {reason}.", {"store": str(path), "reason": str(error)})


def is_locked(error: Exception) -> bool:
    """Whether another program's lock is the reason, so that waiting helps."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def _primary_code(error: Exception) -> int:
    if isinstance(error, UnicodeDecodeError):  # SQLite quotes what is damaged in its messages
        return sqlite3.SQLITE_CORRUPT
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def user_error(path: Path, error: Exception) -> UserError:
    """Convert a failure of SQLite to a UserError."""
    return UserError.from_message(error_message(path, error))


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open or create a store, at the newest schema.

    The connection may be used by another thread than this one, which raises whatever is wrong with the file.

    Raises:
        UserError: The file cannot be opened or is not a store.
    """
    if str(path) == ":memory:":
        raise UserError("':memory:' is no file, and its events would be lost at the end: name a file for the store.")
    try:
        return _open_for_writing(path)
    except FAILURES as error:
        raise user_error(path, error) from error


def _open_for_writing(path: Path) -> sqlite3.Connection:
    with suppress(OSError):  # a new store is for this user only; SQLite's log takes over its mode
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(path, timeout=LOCK_WAIT_S, check_same_thread=False)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    try:
        if not _is_new(connection):
            _check_store(path, connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")  # overwrites what is deleted
        migrate(connection, MIGRATIONS)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def open_for_reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store read-only; an older schema is migrated first.

    A store that was never finished, because its program was killed while it made the file, reads as empty.

    Raises:
        UserError: There is no such file, it cannot be read or it is not a store.
    """
    if path.is_dir():
        raise UserError("{path} is a folder: give the store in it, such as {file}.", path=path, file=path / "merau.db")
    if not path.is_file():
        raise UserError("There is no store at {path}.", path=str(path))
    if not os.access(path, os.R_OK):
        raise UserError("You may not read {path}.", path=str(path))
    try:
        with ExitStack() as opened:
            connection = _open_for_reading(path, opened)
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda text: plain(text.decode("utf-8", "replace"))  # anybody may have made it
            yield connection
    except FAILURES as error:
        raise user_error(path, error) from error


def is_store(path: Path) -> bool:
    """Whether the file may be a store: it is an SQLite database, or empty, or nobody may read it."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) in (_MAGIC, b"")
    except OSError:
        return True


def _open_for_reading(path: Path, opened: ExitStack) -> sqlite3.Connection:
    try:
        connection = opened.enter_context(closing(_connect(path, "mode=ro")))
        if _is_new(connection):
            connection = opened.enter_context(closing(sqlite3.connect(":memory:")))
            migrate(connection, MIGRATIONS)
            return connection
        _check_store(path, connection)
        if _schema(connection) < len(MIGRATIONS):
            _open_for_writing(path).close()
        return connection
    except sqlite3.Error as error:
        if _primary_code(error) not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            raise
    return _open_protected(path, opened)


def _open_protected(path: Path, opened: ExitStack) -> sqlite3.Connection:
    """Open a store where nothing may be written: SQLite wants to write beside the file, even to read it."""
    log = Path(f"{path}-wal")
    has_log = log.is_file() and log.stat().st_size > 0
    if not has_log:
        connection = opened.enter_context(closing(_connect(path, "immutable=1")))
        _check_store(path, connection)
        if _schema(connection) == len(MIGRATIONS):
            return connection
    copy = opened.enter_context(closing(TemporaryFolder())).path / "store.db"
    try:
        shutil.copyfile(path, copy)
        if has_log:
            shutil.copyfile(log, f"{copy}-wal")
    except OSError as error:
        reason = error.strerror or error
        raise UserError("{path} cannot be copied in order to read it: {reason}.", path=path, reason=reason) from error
    return opened.enter_context(closing(_open_for_writing(copy)))


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=LOCK_WAIT_S)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    return connection


def migrate(connection: sqlite3.Connection, scripts: tuple[str, ...]) -> None:
    """Bring the database to schema `len(scripts)`: the missing scripts run in one transaction, all or none."""
    if _schema(connection) == len(scripts):
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for script in scripts[_schema(connection) :]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(scripts)}")


def _is_new(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)


def _schema(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_store(path: Path, connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise UserError("{path} is the database of another program: choose another file.", path=str(path))
    if _schema(connection) > len(MIGRATIONS):
        raise UserError(
            "{path} was written by a newer merau (schema {schema}; this version reads up to {newest}): update "
            "merau-live or choose another file.",
            path=str(path),
            schema=_schema(connection),
            newest=len(MIGRATIONS),
        )
    _check_objects(path, connection)


def _check_objects(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a store that computes what it should hold: that may never end, or change what is written.

    Raises:
        UserError: It has a trigger, or something else in place of one of our tables and views.
    """
    found = _objects(connection)
    odd = [name for name, made in _made_objects(_schema(connection)).items() if found.get(name) != made]
    odd += [name for name, made in found.items() if made.startswith("CREATE TRIGGER")]
    if odd:
        raise UserError(
            "{path} was changed by another program: '{name}' is not as merau made it.", path=path, name=odd[0]
        )


@lru_cache
def _made_objects(schema: int) -> dict[str, str]:
    """Return the objects of a new store of a schema, as `_objects` does."""
    with closing(sqlite3.connect(":memory:")) as connection:
        migrate(connection, MIGRATIONS[:schema])
        return _objects(connection)


def _objects(connection: sqlite3.Connection) -> dict[str, str]:
    """Return how tables, views and triggers were made, by name; of a table only that it is one."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'view', 'trigger')")
    return {name: "CREATE TABLE" if sql.startswith("CREATE TABLE") else " ".join(sql.split()) for name, sql in rows}
