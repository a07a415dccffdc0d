"""The store: what is said stays said, whatever happens to the disk, the file or the process."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.stream.events import (
    FIELDS,
    MIGRATIONS,
    Consent,
    Curve,
    Store,
    event_fields,
    migrate,
    read_clip,
    read_curves,
    read_events,
    read_firsts,
    read_labels,
    read_sessions,
)

SESSION = {"settings": {"faces": "short"}, "bundle": "default", "bundle_sha256": "ab" * 32}


def wait_for(condition, *, deadline_s=20.0):
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


def end(store, session):
    store.progress(session, wall_zero=None, frames=3, dropped=0, gaps=[], ended=True)


def test_fields_are_json_without_pictures(make_event):
    fields = event_fields(make_event(quality=float("nan"), apex_jpeg=b"picture"))
    assert tuple(fields) == FIELDS
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    assert fields["strength"] == 0.8123
    assert fields["quality"] is None
    assert fields["aus"]["12"] == 0.93


def test_final_replaces_provisional(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        session = store.begin("camera", **SESSION)
        store.put(session, make_event(final=False, offset_s=1.4))
        store.put(session, make_event(2.0))
        store.put(session, make_event(final=True, offset_s=1.25))
        store.progress(session, wall_zero=None, frames=90, dropped=2, gaps=[(3.0, 4.5)], ended=True)
    assert [event_fields(event) for event in read_events(path)] == [
        event_fields(make_event(offset_s=1.25)),
        event_fields(make_event(2.0)),
    ]
    (stored,) = read_sessions(path)
    assert (stored.source, stored.frames, stored.dropped, stored.gaps) == ("camera", 90, 2, [(3.0, 4.5)])
    assert stored.settings == {"faces": "short"}
    assert stored.started <= stored.ended


def test_sessions_share_a_file_and_stay_apart(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        first, second = store.begin("a", **SESSION), store.begin("b", **SESSION)
        store.put(first, make_event(track=1))
        store.put(second, make_event(track=2))
    with Store(path) as store:
        assert store.begin("c", **SESSION) == 3
    assert [event.track for event in read_events(path, first)] == [1]
    assert [event.track for event in read_events(path, second)] == [2]


@pytest.mark.parametrize("keep", [True, False])
def test_pictures_are_kept_only_if_asked(tmp_path, make_event, keep):
    path = tmp_path / "events.db"
    with Store(path, keep_pictures=keep) as store:
        session = store.begin("camera", **SESSION)
        store.put(session, make_event(onset_jpeg=b"onset", apex_jpeg=b"apex", final=False))
        store.put(session, make_event(flow_png=b"flow"))
    (event,) = read_events(path)
    assert (event.onset_jpeg, event.apex_jpeg, event.flow_png) == (
        (b"onset", b"apex", b"flow") if keep else (None,) * 3
    )


def test_a_lock_delays_events_and_loses_none(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        session = store.begin("camera", **SESSION)
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        for apex_s in range(1, 6):
            store.put(session, make_event(float(apex_s)))
        assert wait_for(lambda: store.trouble) == f"{path} is locked by another program."
        assert list(read_events(path)) == []
        other.rollback()
        wait_for(lambda: len(list(read_events(path))) == 5)
        assert store.trouble == ""
    other.close()


def test_a_lock_to_the_end_is_said(tmp_path, make_event):
    path = tmp_path / "events.db"
    store = Store(path)
    session = store.begin("camera", **SESSION)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    store.put(session, make_event())
    with pytest.raises(UserError, match="locked by another program. .* 1 changes are lost"):
        store.close()
    other.close()


FILL = """
import resource, sys
from pathlib import Path
from merau.stream.events import Event, Store
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
event = lambda n: Event(str(n), "camera", 1, "micro", n, n, n, None, 1, {}, {}, "x" * 100, False, 1, True, "b", "s")
store = Store(Path(sys.argv[1]))
session = store.begin("camera", settings={}, bundle="b", bundle_sha256="s")
n = 0
while not store.trouble:  # without a pause, faster than the disk takes it
    store.put(session, event(n))
    n += 1
try:
    store.close()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_is_one_sentence_and_keeps_what_was_recorded(tmp_path):
    path = tmp_path / "events.db"
    said = subprocess.run([sys.executable, "-c", FILL, path], capture_output=True, text=True, timeout=60)
    assert said.stderr == ""
    assert re.match(r"UserError The disk .* What was recorded before is safe; \d+ changes are lost\.\n$", said.stdout)
    stored = [int(event.id) for event in read_events(path)]
    assert stored
    assert stored == list(range(len(stored)))


KILLED = """
import sys, time
from pathlib import Path
from merau.stream.events import Event, Store, read_events
store = Store(Path(sys.argv[1]))
session = store.begin("camera", settings={}, bundle="b", bundle_sha256="s")
for n in range(50):
    store.put(session, Event(str(n), "camera", 1, "micro", n, n, n, None, 1, {}, {}, "", False, 1, True, "b", "s"))
while len(list(read_events(Path(sys.argv[1])))) < 50:
    time.sleep(0.01)
print("written", flush=True)
time.sleep(60)
"""


def test_a_killed_process_leaves_its_events(tmp_path):
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
        store.forget(datetime.now(UTC) + timedelta(hours=1))
    assert not read_sessions(path)
    assert not list(read_events(path))


def test_files_that_are_not_ours_are_refused_and_untouched(tmp_path):
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
    for path, reason in ((text, "not an SQLite database"), (foreign, "another program"), (newer, "a newer merau")):
        with pytest.raises(UserError, match=reason):
            Store(path)
        with pytest.raises(UserError, match=reason):
            list(read_events(path))
        assert path.read_bytes() == before[path]


def test_missing_places_are_named(tmp_path):
    with pytest.raises(UserError, match="does its folder exist"):
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


def test_labels_outlive_their_events_and_the_newest_counts(tmp_path, make_event):
    path = tmp_path / "events.db"
    seen = make_event(embedding=np.arange(4, dtype=np.float32).tobytes())
    with Store(path) as store:
        session = store.begin("camera", **SESSION, consent=Consent("study of sleep", "2026-03-01T09:00:00.000+00:00"))
        store.put(session, seen)
        store.put_clip(session, seen.id, b"film")
        for name in ("positive", "smirk", "wink"):
            store.label(session, seen, name, seen.probabilities)
        store.unlabel()
        store.flush()
        assert read_sessions(path)[0].purpose == "study of sleep"
        assert read_clip(path, session, seen.id) == b"film"
        end(store, session)
        store.forget(datetime.now(UTC) + timedelta(seconds=1))
        store.flush()
        assert not read_sessions(path)
        assert not list(read_events(path))
        assert not read_clip(path, session, seen.id)
        label, *more = read_labels(path)
        assert not more
        assert label.label == "smirk"
        assert label.embedding == seen.embedding
        assert label.aus == seen.aus
        store.delete_all()
        assert not read_labels(path)


def test_old_events_of_a_camera_that_still_runs_are_gone_and_its_session_stays(tmp_path, make_event):
    path, picture = tmp_path / "events.db", b"a picture of someone" * 99
    today = datetime.now(UTC)
    with Store(path, keep_pictures=True) as store:
        session = store.begin("camera", **SESSION)
        old, new, recorded = (
            make_event(i, onset_wall=wall.isoformat(timespec="milliseconds"), apex_jpeg=picture, label=label)
            for i, (wall, label) in enumerate(
                [(today + timedelta(hours=1), ""), (today + timedelta(hours=9), "b"), (today - timedelta(days=900), "")]
            )
        )
        for event in (old, new):
            store.put(session, event)
        film = store.begin("a recording of long ago", **SESSION)
        store.put(film, recorded)
        store.put_clip(session, old.id, b"film")
        store.judge_anew([(session, replace(old, label="anew"))])
        store.forget(today - timedelta(hours=24))
        store.flush()
        assert len(list(read_events(path))) == 3
        store.forget(today + timedelta(hours=2))
        store.flush()
        assert [event.id for event in read_events(path)] == [new.id]
        assert [s.id for s in read_sessions(path)] == [session, film]
        assert not read_clip(path, session, old.id)
        store.put(session, old)
        store.flush()
        assert not read_firsts(path, session)
        store.forget(today + timedelta(hours=10))
        store.flush()
        assert not any(picture in file.read_bytes() for file in tmp_path.iterdir())


def test_the_number_of_a_forgotten_session_is_not_given_again(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        first = store.begin("a", **SESSION)
        store.label(first, make_event(), "smirk", {})
        end(store, first)
        store.forget(datetime.now(UTC) + timedelta(hours=1))
        assert store.begin("b", **SESSION) == first + 1


def test_what_older_versions_left_of_forgotten_sessions_belongs_to_no_other(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:  # one session lost its row, and with it its number, to one that came later
        orphan, later = store.begin("lost", **SESSION), store.begin("later", **SESSION)
        for session in (orphan, later):
            store.put(session, make_event())
        store.label(later, make_event(), "smirk", {})
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE sessions SET started = '2999' WHERE source = 'later'")
        connection.execute("UPDATE events SET session = 7 WHERE session = ?", (orphan,))
        connection.execute("DELETE FROM sessions WHERE source = 'lost'")
        connection.execute("PRAGMA user_version = 3")
        connection.execute("ALTER TABLE sessions RENAME TO numbered")
        connection.execute("CREATE TABLE sessions AS SELECT * FROM numbered")
        connection.execute("DROP TABLE numbered")
    with Store(path) as store:
        assert store.begin("new", **SESSION) == 8
        store.forget(datetime.now(UTC) - timedelta(days=1))
        store.flush()
        assert [session.id for session in read_sessions(path)] == [later, 8]
        assert len(list(read_events(path))) == 1
        (label,) = read_labels(path)
        assert label.label == "smirk"
        assert label.session not in (later, 8)


def test_an_older_store_is_brought_up_to_date_when_read(tmp_path, make_event):
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as connection:
        migrate(connection, MIGRATIONS[:1])
        connection.execute("INSERT INTO sessions VALUES (1, 'a', 'now', NULL, NULL, '{}', 'b', 's', 0, 0, '[]')")
    assert read_sessions(path)[0].purpose is None
    assert not list(read_events(path))


def test_an_event_that_is_judged_anew_keeps_what_was_first_said_of_it(tmp_path, make_event):
    path = tmp_path / "events.db"
    first, other = make_event(), make_event(2.0)
    provisional = replace(first, final=False)
    anew = replace(provisional, probabilities={"smirk": 0.9, "frown": 0.1}, label="smirk", uncertain=True)
    with Store(path) as store:
        session = store.begin("camera", **SESSION)
        for event in (provisional, other):
            store.put(session, event)
        store.judge_anew([(session, anew), (session, other)])
        store.flush()
        assert [event_fields(event) for event in read_events(path)] == [event_fields(anew), event_fields(other)]
        said = {"probabilities": event_fields(first)["probabilities"], "label": "positive", "uncertain": False}
        assert read_firsts(path, session) == {first.id: said}
        store.put(session, first)  # the final word comes later, and was judged by then
        store.flush()
        assert not read_firsts(path, session)
        store.judge_anew([(session, anew)])
        store.judge_anew([])
    assert [event_fields(event) for event in read_events(path)] == [event_fields(first), event_fields(other)]


def test_how_a_face_moved_is_kept_as_long_as_its_session(tmp_path):
    path = tmp_path / "events.db"
    motion = np.array([0.1, np.nan, 2.5], np.float32)
    with Store(path) as store:
        session = store.begin("camera", **SESSION)
        for track in (2, 1, 1):
            store.put_curve(session, Curve(track, 0.04, motion, motion / 2))
        end(store, session)
        store.flush()
        one, two = read_curves(path, session)
        assert (one.track, two.track, one.bin_s) == (1, 2, 0.04)
        np.testing.assert_allclose(one.motion_px, motion, rtol=1e-3)
        np.testing.assert_allclose(two.noise_px, motion / 2, rtol=1e-3)
        store.forget(datetime.now(UTC) + timedelta(hours=1))
        store.flush()
        assert not read_curves(path, session)
