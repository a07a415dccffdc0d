"""Nothing that was put is lost, whatever happens to the disk, the file or the process."""

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing as closed
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from merau.engine.errors import UserError
from merau.stream.events import event_fields
from merau.stream.store import Store, read_clip, read_events, read_original_predictions, read_sessions
from merau.stream.store.clock import SteadyClock

SESSION = {"settings": {"faces": "short"}, "bundle": "default", "bundle_sha256": "ab" * 32}
RETAINED = SESSION | {"retention_h": 1.0}


def wait_for(condition, *, deadline_s=20.0):
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)
    return value


def end(store, session):
    store.update_session(session, wall_zero=None, frames=3, dropped=0, gaps=[], ended=True)


def test_final_replaces_provisional(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        session = store.start_session("camera", **SESSION)
        store.put(session, make_event(final=False, offset_s=1.4))
        store.put(session, make_event(2.0))
        store.put(session, make_event(final=True, offset_s=1.25))
        store.update_session(session, wall_zero=None, frames=90, dropped=2, gaps=[(3.0, 4.5)], ended=True)
    assert [event_fields(event) for event in read_events(path)] == [
        event_fields(make_event(offset_s=1.25)),
        event_fields(make_event(2.0)),
    ]
    (stored,) = read_sessions(path)
    assert (stored.source, stored.frames, stored.dropped, stored.gaps) == ("camera", 90, 2, [(3.0, 4.5)])
    assert stored.settings == {"faces": "short"}
    assert stored.started <= stored.ended


@pytest.mark.parametrize("keep", [True, False])
def test_images_are_stored_only_when_asked(tmp_path, make_event, keep):
    path = tmp_path / "events.db"
    with Store(path, keep_pictures=keep) as store:
        session = store.start_session("camera", **SESSION)
        store.put(session, make_event(onset_jpeg=b"onset", apex_jpeg=b"apex", final=False))
        store.put(session, make_event(flow_png=b"flow"))
    (event,) = read_events(path)
    assert (event.onset_jpeg, event.apex_jpeg, event.flow_png) == (
        (b"onset", b"apex", b"flow") if keep else (None,) * 3
    )


def test_lock_delays_events_and_loses_none(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        session = store.start_session("camera", **SESSION)
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        for apex_s in range(1, 6):
            store.put(session, make_event(float(apex_s)))
        assert wait_for(lambda: str(store.last_error or "")) == f"{path} is locked by another program."
        assert list(read_events(path)) == []
        other.rollback()
        wait_for(lambda: len(list(read_events(path))) == 5)
        wait_for(lambda: store.last_error is None)
    other.close()


def test_close_waits_for_a_lock(tmp_path, make_event, caplog):
    path = tmp_path / "events.db"
    store = Store(path)
    session = store.start_session("camera", **SESSION)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    store.put(session, make_event())
    closing = threading.Thread(target=store.close)
    closing.start()
    said = wait_for(lambda: [record.getMessage() for record in caplog.records])
    assert said == [f"{path} is locked by another program. Waiting for it with 1 changes; Ctrl-C gives them up."]
    other.rollback()
    other.close()
    closing.join(20)
    assert len(list(read_events(path))) == 1


LOCKED = """
import logging, sqlite3, sys
from pathlib import Path
from merau.stream.store import Store
logging.basicConfig(format="%(message)s", stream=sys.stdout)
store = Store(Path(sys.argv[1]))
session = store.start_session("camera", settings={}, bundle="b", bundle_sha256="s")
other = sqlite3.connect(sys.argv[1])
other.execute("BEGIN IMMEDIATE")
store.put_clip(session, "1-1", b"clip")
try:
    store.close()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_store_that_is_gone_is_named_and_may_come_back(tmp_path, make_event):
    path, elsewhere = tmp_path / "events.db", tmp_path / "elsewhere.db"
    store = Store(path)
    session = store.start_session("camera", **SESSION)
    path.rename(elsewhere)
    store.put(session, make_event())
    with pytest.raises(UserError, match="was moved, deleted or replaced while it was in use: put it back"):
        store.flush()
    elsewhere.rename(path)
    wait_for(lambda: store.last_error is None)
    store.flush()
    assert len(list(read_events(path))) == 1
    shutil.copyfile(path, elsewhere)
    elsewhere.replace(path)
    store.put(session, make_event(2.0))
    with pytest.raises(UserError, match="put it back.* 1 changes are lost"):
        store.close()


def test_ctrl_c_ends_the_wait_for_a_lock(tmp_path):
    path = tmp_path / "events.db"
    process = subprocess.Popen([sys.executable, "-u", "-c", LOCKED, path], stdout=subprocess.PIPE, text=True)
    assert "Waiting for it" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert re.match("UserError .* locked by another program. .* 1 changes are lost", out)


def test_close_without_waiting_gives_a_lock_up(tmp_path, make_event):
    path = tmp_path / "events.db"
    store = Store(path)
    session = store.start_session("camera", **SESSION)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    store.put(session, make_event())
    with pytest.raises(UserError, match="locked by another program. .* 1 changes are lost"):
        store.close(waits=False)
    other.close()


def test_impossible_change_costs_only_itself(tmp_path, make_event, caplog):
    path = tmp_path / "events.db"
    store = Store(path)
    session = store.start_session("camera", **SESSION)
    for event in (make_event(1.0), make_event(2.0, track=2**70), make_event(3.0)):
        store.put(session, event)
    store.flush()
    with pytest.raises(UserError, match="cannot be stored"):
        store.start_session("camera", **(SESSION | {"bundle": 2**70}))
    store.start_session("\udcff.mp4", **SESSION)
    assert read_sessions(path)[-1].source == "\N{REPLACEMENT CHARACTER}.mp4"
    assert "too large" in str(store.last_error)
    store.put(session, make_event(4.0))
    with pytest.raises(UserError, match="too large .* 1 changes are lost"):
        store.close()
    assert [event.apex_s for event in read_events(path)] == [1.0, 3.0, 4.0]
    assert "It is lost; all others are kept." in caplog.text


def test_closed_store_refuses_changes(tmp_path):
    store = Store(tmp_path / "events.db")
    store.close()
    for change in (store.flush, lambda: store.put_clip(1, "1-1", b"clip")):
        with pytest.raises(UserError, match="is closed"):
            change()
    store.close()


FILL = """
import resource, sys
from pathlib import Path
from merau.stream.events import Event
from merau.stream.store import Store
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
event = lambda n: Event(str(n), "camera", 1, "micro", n, n, n, None, 1, {}, {}, "x" * 100, False, 1, True, "b", "s")
store = Store(Path(sys.argv[1]))
session = store.start_session("camera", settings={}, bundle="b", bundle_sha256="s")
n = 0
while not store.last_error:  # without a pause, faster than the disk takes it
    store.put(session, event(n))
    n += 1
try:
    store.close()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_full_disk_keeps_what_was_recorded(tmp_path):
    path = tmp_path / "events.db"
    done = subprocess.run([sys.executable, "-c", FILL, path], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert re.match(r"UserError The disk .* Everything recorded before is safe; \d+ changes are lost\.\n$", done.stdout)
    stored = [int(event.id) for event in read_events(path)]
    assert stored
    assert stored == list(range(len(stored)))


KILLED = """
import sys, time
from pathlib import Path
from merau.stream.events import Event
from merau.stream.store import Store, read_events
store = Store(Path(sys.argv[1]))
session = store.start_session("camera", settings={}, bundle="b", bundle_sha256="s", retention_h=1)
for n in range(50):
    store.put(session, Event(str(n), "camera", 1, "micro", n, n, n, None, 1, {}, {}, "", False, 1, True, "b", "s"))
while len(list(read_events(Path(sys.argv[1])))) < 50:
    time.sleep(0.01)
print("written", flush=True)
time.sleep(60)
"""


def test_killed_process_leaves_its_events(tmp_path):
    path = tmp_path / "events.db"
    process = subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(list(read_events(path))) == 50
    assert read_sessions(path)[0].ended is None
    with Store(path) as store:
        store.flush()
        assert read_sessions(path)[0].ended
        store.purge_expired(datetime.now(UTC) + timedelta(hours=2))
    assert not read_sessions(path)
    assert not list(read_events(path))


def test_purge_deletes_old_events_of_a_running_session(tmp_path, make_event):
    path, image = tmp_path / "events.db", b"an image of someone" * 99
    today, elapsed_s = datetime.now(UTC), 0.0
    clock = SteadyClock(today.timestamp, lambda: elapsed_s)
    with Store(path, keep_pictures=True, clock=clock) as store:
        session = store.start_session("camera", **RETAINED)
        old, new, recorded = (
            make_event(number, onset_wall="2020-01-01T00:00:00.000+00:00", apex_jpeg=image, label=label)
            for number, label in enumerate(("surprise", "positive", "surprise"))
        )
        recording = store.start_session("a recording of long ago", **RETAINED)
        for hours, (of, event) in {0: (recording, recorded), 1: (session, old), 9: (session, new)}.items():
            elapsed_s = 3600.0 * hours
            store.put(of, event)
        store.put_clip(session, old.id, b"clip")
        store.replace_reclassifications([(session, replace(old, label="negative"))])
        store.purge_expired(today - timedelta(hours=23))
        store.flush()
        assert len(list(read_events(path))) == 3
        store.purge_expired(today + timedelta(hours=3))
        store.flush()
        assert [event.id for event in read_events(path)] == [new.id]
        assert [s.id for s in read_sessions(path)] == [session, recording]
        assert not read_clip(path, session, old.id)
        elapsed_s = 3600.0
        store.put(session, old)
        store.flush()
        assert not read_original_predictions(path, session)
        store.purge_expired(today + timedelta(hours=11))
        store.flush()
        assert not any(image in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize(("kinds", "kind"), [("x", "blink"), ('{"blink": 0.5}', "a[")])
def test_damaged_row_does_not_keep_others_from_being_purged(tmp_path, make_event, kinds, kind):
    path = tmp_path / "events.db"
    with Store(path) as store:
        for _ in range(2):
            store.put(store.start_session("a", **SESSION, retention_h=1.0), make_event())
        store.flush()
        with closed(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE sessions SET retention_kinds = ? WHERE id = 1", (kinds,))
            connection.execute("UPDATE events SET kind = ? WHERE session = 1", (kind,))
        store.purge_expired(datetime.now(UTC) + timedelta(hours=2))
        store.flush()
        assert list(read_events(path)) == []


def test_number_of_a_purged_session_is_not_reused(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        first = store.start_session("a", **RETAINED)
        store.label(first, make_event(), "smirk", {})
        end(store, first)
        store.purge_expired(datetime.now(UTC) + timedelta(hours=2))
        assert store.start_session("b", **RETAINED) == first + 1


def test_purge_spares_sessions_without_a_retention(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        for retention_h in (None, 1e6, 0.25):
            session = store.start_session("a", **SESSION, retention_h=retention_h)
            store.put(session, make_event())
            end(store, session)
        store.purge_expired(datetime.now(UTC) + timedelta(minutes=14))
        store.flush()
        assert len(read_sessions(path)) == len(list(read_events(path))) == 3
        store.purge_expired(datetime.now(UTC) + timedelta(minutes=16))
        store.flush()
        assert [session.retention_h for session in read_sessions(path)] == [None, 1e6]
        assert len(list(read_events(path))) == 2


def test_deletion_is_pending_while_another_program_reads(tmp_path, make_event):
    path, image = tmp_path / "events.db", b"an image of someone" * 99
    with Store(path, keep_pictures=True) as store:
        session = store.start_session("camera", **SESSION)
        store.put(session, make_event(apex_jpeg=image))
        store.flush()
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
        store.delete_all()
        assert store.deletion_pending
        assert any(image in file.read_bytes() for file in tmp_path.iterdir())
        reader.close()
        wait_for(lambda: not store.deletion_pending)
        assert not any(image in file.read_bytes() for file in tmp_path.iterdir())


def test_new_store_is_for_its_user_only(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        store.put(store.start_session("camera", **SESSION), make_event())
        store.flush()
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    path.chmod(0o640)  # as somebody wants it
    Store(path).close()
    assert path.stat().st_mode & 0o777 == 0o640


def test_purge_keeps_some_kinds_longer(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        session = store.start_session("a", **SESSION, retention_h=1.0, retention_kinds={"blink": 0.5, "micro": 3})
        for kind in ("blink", "macro", "micro"):
            store.put(session, make_event(id=kind, kind=kind))
        end(store, session)
        for hours, left in ((0.6, ["macro", "micro"]), (1.1, ["micro"]), (3.1, [])):
            store.purge_expired(datetime.now(UTC) + timedelta(hours=hours))
            store.flush()
            assert [event.id for event in read_events(path)] == left
            assert bool(read_sessions(path)) == bool(left)


def test_purge_to_size_deletes_the_oldest_of_cameras(tmp_path, make_event):
    path, image = tmp_path / "events.db", bytes(100_000)
    with Store(path, keep_pictures=True) as store:
        camera = store.start_session("a", **SESSION)
        recording = store.start_session("b", **SESSION, content_sha256="c")
        for number in range(20):
            store.put(recording if number == 0 else camera, make_event(id=str(number), apex_jpeg=image))
            store.flush()
        store.purge_to_size(10_000_000)
        store.flush()
        assert len(list(read_events(path))) == 20
        store.purge_to_size(1_000_000)
        store.flush()
        left = sorted(int(event.id) for event in read_events(path))
        assert left[0] == 0
        assert left[1:] == list(range(20))[-len(left[1:]) :]
        assert 7 <= len(left) <= 9
