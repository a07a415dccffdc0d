"""Backups of a store that is in use, restored and checked."""

import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from merau.stream.cli import main
from merau.stream.store import Store, read_events, read_sessions

SESSION = {"settings": {}, "bundle": "default", "bundle_sha256": "ab"}


@pytest.fixture
def store(tmp_path, make_event, monkeypatch) -> Path:
    """The default store of a folder, with one session of 300 events."""
    monkeypatch.chdir(tmp_path)
    with Store(Path("merau.db")) as opened:
        session = opened.start_session("interview.mp4", **SESSION)
        for number in range(300):
            opened.put(session, make_event(float(number), id=f"1-{number}"))
    return Path("merau.db")


def test_backups_during_writing_are_moments_of_the_store(store, make_event, capsys):
    done = threading.Event()

    def write() -> None:
        with Store(store) as opened:
            session, number = opened.start_session("rtsp://host/cam", **SESSION), 0
            while not done.is_set():
                number += 1
                opened.put(session, make_event(float(number), id=f"2-{number}"))
                opened.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = []
        for number in range(5):
            assert main(["store", "backup", "--out", f"{number}.db", "--json"]) == 0
            sizes.append(json.loads(capsys.readouterr().out)["events"])
    finally:
        done.set()
        writer.join(30)
    assert sizes == sorted(sizes) and sizes[0] >= 300
    for number, events in enumerate(sizes):
        backup = Path(f"{number}.db")
        ids = [event.id for event in read_events(backup, 2)]
        assert ids == [f"2-{n}" for n in range(1, events - 300 + 1)]  # no gap: a moment, not a mixture
        assert os.stat(backup).st_mode & 0o077 == 0
    assert not list(Path().glob(".*.part*"))


def test_restore_keeps_what_was_there(store, make_event, capsys):
    assert main(["store", "backup", "--out", "old.db"]) == 0
    with Store(store) as opened:
        opened.start_session("later.mp4", **SESSION)
    capsys.readouterr()
    assert main(["store", "restore", "old.db", "--json"]) == 0
    earlier = Path(json.loads(capsys.readouterr().out)["earlier"])
    assert [session.source for session in read_sessions(store)] == ["interview.mp4"]
    assert len(read_sessions(earlier)) == 2
    with Store(store) as opened:
        assert main(["store", "restore", "old.db"]) == 1
        assert "A program uses merau.db: end it" in capsys.readouterr().err
        opened.start_session("goes on", **SESSION)
    assert main(["store", "restore", "old.db", "new.db"]) == 0
    assert len(list(read_events(Path("new.db")))) == 300


def test_log_of_another_store_is_not_added_to_a_restored_one(store, capsys):
    assert main(["store", "backup", "--out", "old.db"]) == 0
    Path("new.db-wal").write_bytes(b"of a store that was moved away")
    assert main(["store", "restore", "old.db", "new.db"]) == 1
    assert "new.db-wal is in the way" in capsys.readouterr().err
    assert not Path("new.db").exists()


def test_damage_is_named_and_the_rest_backed_up(store, capsys):
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE events SET aus = 'no json' WHERE id = '1-7'")
        connection.execute("INSERT INTO clips VALUES (9, '1-1', x'00')")
    connection.close()
    for action in (["check"], ["backup", "--out", "new.db"]):
        assert main(["store", *action]) == 1
        told = capsys.readouterr()
        assert told.out.endswith(": 1 session, 299 events, 0 codings.\n")
        assert "merau.db: 1 clips of events that are not there." in told.err
        assert "merau.db: 1 damaged rows in events." in told.err
    assert main(["store", "backup", "--out", "new.db"]) == 1
    assert "new.db is there already" in capsys.readouterr().err
    assert len(list(read_events(Path("new.db")))) == 299


def test_damaged_page_is_found(store, capsys):
    content = store.read_bytes()
    middle = len(content) // 2
    store.write_bytes(content[:middle] + b"\xff" * 3000 + content[middle + 3000 :])
    assert main(["store", "check"]) == 1
    assert capsys.readouterr().err
