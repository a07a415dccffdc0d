"""Old stores are migrated, other files are refused."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from merau.engine.errors import UserError
from merau.stream.store import Store, read_codings, read_events, read_labels, read_sessions
from merau.stream.store.schema import MIGRATIONS, migrate

OLD_SESSION = (
    "INSERT INTO sessions VALUES (1, 'a', '2026-01-01T00:00:00+00:00', NULL, NULL, '{}', 'b', 's', 0, 0, '[]')"
)
SESSION = {"settings": {"faces": "short"}, "bundle": "default", "bundle_sha256": "ab" * 32}


def test_foreign_files_are_refused_and_untouched(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be looked at" * 100)
    foreign = tmp_path / "foreign.db"
    newer = tmp_path / "newer.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE events (id)")
    Store(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = {path: path.read_bytes() for path in (text, foreign, newer)}
    for path, reason in (
        (text, "not an SQLite database"),
        (foreign, "of another program"),
        (newer, "by a newer merau"),
    ):
        with pytest.raises(UserError, match=reason):
            Store(path)
        with pytest.raises(UserError, match=reason):
            list(read_events(path))
        assert path.read_bytes() == before[path]


@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
def test_half_made_store_is_empty_and_goes_on(tmp_path, journal_mode):
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as connection:  # as the program leaves it that is killed before the first table
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
    connection.close()
    assert read_sessions(path) == []
    with Store(path) as store:
        store.start_session("camera", **SESSION)
    assert len(read_sessions(path)) == 1


READ = """
import os, sys
from pathlib import Path
from merau.stream.store import read_events, read_sessions
for path in map(Path, sys.argv[1:]):
    assert not os.access(path.parent, os.W_OK)
    print(len(read_sessions(path)), len(list(read_events(path))))
"""


def test_store_that_may_not_be_written_is_read(tmp_path, make_event):
    folders = [tmp_path / name for name in ("whole", "killed", "old")]
    for folder in folders:
        folder.mkdir()
    whole, killed, old = (folder / "events.db" for folder in folders)
    with Store(whole) as store:
        store.put(store.start_session("camera", **SESSION), make_event())
        store.flush()
        for suffix in ("", "-wal"):  # the log holds everything
            shutil.copyfile(f"{whole}{suffix}", f"{killed}{suffix}")
    with sqlite3.connect(old) as connection:
        migrate(connection, MIGRATIONS[:1])
        connection.execute(OLD_SESSION)
    connection.close()
    for folder in folders:
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*unprivileged, sys.executable, "-c", READ, whole, killed, old]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    for folder in folders:
        folder.chmod(0o755)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["1 1", "1 1", "1 0"]


KILLED = """
import os, sys
from pathlib import Path
from merau.stream.store import read_events
for event in read_events(Path(sys.argv[1])):
    os.kill(os.getpid(), 9)
"""


def test_copy_of_a_killed_reader_is_deleted_by_the_next_one(tmp_path, make_event):
    path, copies = tmp_path / "read-only" / "events.db", tmp_path / "copies"
    path.parent.mkdir()
    copies.mkdir()
    with Store(tmp_path / "events.db") as store:
        store.put(store.start_session("camera", **SESSION), make_event())
        store.flush()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{store.path}{suffix}", f"{path}{suffix}")
    path.chmod(0o444)
    path.parent.chmod(0o555)
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    left = []
    for script in (KILLED, READ):
        command = [*unprivileged, sys.executable, "-c", script, path]
        subprocess.run(command, env=os.environ | {"TMPDIR": str(copies)}, capture_output=True, timeout=60)
        left.append([file.name for file in copies.glob("*/store.db")])
    path.parent.chmod(0o755)
    assert left == [["store.db"], []]


def test_missing_file_or_folder_raises(tmp_path):
    with pytest.raises(UserError, match="check that its folder exists"):
        Store(tmp_path / "nowhere" / "events.db")
    with pytest.raises(UserError, match="There is no store at"):
        read_sessions(tmp_path / "events.db")


def test_migrations_run_once_each_and_all_or_none(tmp_path):
    connection = sqlite3.connect(tmp_path / "old.db")
    migrate(connection, ("CREATE TABLE a (x); INSERT INTO a VALUES (1)",))
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, ("", "CREATE TABLE b (x)", "CREATE TABLE a (x)"))
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    migrate(connection, ("", "CREATE TABLE b AS SELECT * FROM a"))
    migrate(connection, ("", "CREATE TABLE b AS SELECT * FROM a"))
    assert connection.execute("SELECT * FROM b").fetchall() == [(1,)]
    connection.close()


def test_migration_keeps_labels_and_detaches_orphans(tmp_path, make_event):
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as connection:
        migrate(connection, MIGRATIONS[:3])
        session = "INSERT INTO sessions (id, source, started, ended, settings, bundle, bundle_sha256) VALUES "
        # the row of a purged session is gone, and its number was given again to one that came later
        session = "INSERT INTO sessions (id, source, started, settings, bundle, bundle_sha256) VALUES "
        connection.execute(session + "(1, 'kept', '2026-01-01', '{}', 'b', 's'), (2, 'later', '2999', '{}', 'b', 's')")
        columns = "session, event, label, given, bundle_sha256, embedding, probabilities, aus"
        label = f"INSERT INTO labels ({columns}) VALUES (?, '1-1', ?, '2026-02-01', 's', x'00', ?, ?)"
        connection.execute(label, (1, "smirk", '{"positive": 1.0}', '{"12": 0.5}'))
        connection.execute(label, (2, "frown", "{}", "{}"))
        columns = "session, id, source, track, kind, aus, probabilities, label, uncertain, final, bundle, bundle_sha256"
        connection.execute(f"INSERT INTO events ({columns}) VALUES (7, '1-1', 'a', 1, '', '', '', '', 0, 1, 'b', 's')")
    connection.close()
    with Store(path) as store:
        assert store.start_session("new", **SESSION) == 8
        smirk, frown = read_labels(path)
        assert (smirk.session, smirk.label, smirk.embedding) == (1, "smirk", b"\0")
        assert (smirk.probabilities, smirk.aus) == ({"positive": 1.0}, {"12": 0.5})
        assert (frown.session, frown.label) == (-2, "frown")
        assert [coding.coder for coding in read_codings(path)] == ["", ""]


def test_reading_an_old_store_migrates_it(tmp_path, make_event):
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as connection:
        migrate(connection, MIGRATIONS[:1])
        connection.execute(OLD_SESSION)
    (session,) = read_sessions(path)
    assert (session.purpose, session.retention_h, session.partial) == (None, None, False)
    assert not list(read_events(path))


def test_damage_that_sqlite_quotes_is_one_sentence(tmp_path):
    path = tmp_path / "events.db"
    Store(path).close()
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE events", b"CREATE \xeaABLE events"))
    for read in (read_sessions, Store):
        with pytest.raises(UserError, match="is damaged and cannot be read"):
            read(path)


COUNT = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT 1 AS session, n AS track"


@pytest.mark.parametrize(
    ("trap", "name"),
    [
        (f"DROP TABLE faces; CREATE VIEW faces AS {COUNT}, 0 AS from_s, 0 AS to_s, 0 AS seen_s, 0 FROM n", "faces"),
        (f"DROP VIEW current_codings; CREATE VIEW current_codings AS {COUNT} FROM n", "current_codings"),
        ("DROP TABLE clips; CREATE VIRTUAL TABLE clips USING fts5 (session, event, mp4)", "clips"),
        ("CREATE TRIGGER gone AFTER INSERT ON codings BEGIN DELETE FROM events; END", "gone"),
        ("DROP TABLE curves", "curves"),
    ],
)
def test_store_that_computes_what_it_holds_is_refused(tmp_path, trap, name):
    path = tmp_path / "events.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(trap)
    for read in (read_sessions, Store):
        with pytest.raises(UserError, match=f"'{name}' is not as merau made it"):
            read(path)
