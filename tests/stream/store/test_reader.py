"""What was put can be read."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from merau.engine.bundle import Bundle
from merau.stream.events import Consent, event_fields
from merau.stream.store import (
    MotionCurve,
    Store,
    read_clip,
    read_codings,
    read_consent,
    read_curves,
    read_events,
    read_labels,
    read_original_predictions,
    read_sessions,
)

SESSION = {"settings": {"faces": "short"}, "bundle": "default", "bundle_sha256": "ab" * 32}
CONSENT = Consent("study of sleep", "2026-03-01T09:00:00.000+00:00")


def end(store, session):
    store.update_session(session, wall_zero=None, frames=3, dropped=0, gaps=[], ended=True)


def test_event_that_turns_out_to_be_a_blink_is_no_sample(tmp_path, make_event):
    path, micro = tmp_path / "events.db", make_event(final=False, embedding=b"e", bundle_sha256="s")
    blink = replace(micro, kind="blink", final=True, aus={}, probabilities={}, label="", embedding=None)
    with Store(path) as store:
        session = store.start_session("camera", **SESSION)
        for event in (micro, blink):
            store.put(session, event)
        store.label(session, micro, "smirk", {"positive": 1.0})
        store.label(session, replace(blink, id="old", embedding=b"e"), "smirk", {"positive": 1.0})  # as stored before
    assert [event.embedding for event in read_events(path)] == [None]
    for units, is_sample in ((["6"], [True, False]), ([], [True, True])):  # a bundle may know no Action Units
        bundle = Bundle("b", {"aus": units}, {}, "s")
        assert [label.is_sample(bundle) for label in read_labels(path)] == is_sample


def test_sessions_share_a_file_and_stay_apart(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        first, second = store.start_session("a", **SESSION), store.start_session("b", **SESSION)
        store.put(first, make_event(track=1))
        store.put(second, make_event(track=2))
    with Store(path) as store:
        assert store.start_session("c", **SESSION) == 3
    assert [event.track for event in read_events(path, first)] == [1]
    assert [event.track for event in read_events(path, second)] == [2]


def test_labels_outlive_events_and_newest_counts(tmp_path, make_event):
    path = tmp_path / "events.db"
    event = make_event(embedding=np.arange(4, dtype=np.float32).tobytes())
    with Store(path) as store:
        session = store.start_session("camera", **SESSION, consent=CONSENT, retention_h=1.0)
        store.put(session, event)
        store.put_clip(session, event.id, b"clip")
        for name in ("positive", "smirk", "wink"):
            store.label(session, event, name, event.probabilities)
        other = store.start_session("other", **SESSION)
        store.label(other, event, "frown", {})  # newer, but of another session
        store.undo_coding(session)
        store.flush()
        assert read_sessions(path)[0].purpose == "study of sleep"
        assert [event.coding.label for event in read_events(path)] == ["smirk"]
        assert read_clip(path, session, event.id) == b"clip"
        end(store, session)
        store.purge_expired(datetime.now(UTC) + timedelta(hours=2))
        store.flush()
        assert [stored.id for stored in read_sessions(path)] == [other]
        assert not list(read_events(path))
        assert not read_clip(path, session, event.id)
        label, newer = read_labels(path)
        assert (label.label, newer.label) == ("smirk", "frown")
        assert label.embedding == event.embedding
        assert label.aus == event.aus
        store.delete_all()
        assert not read_labels(path)


def test_reclassified_event_keeps_original_prediction(tmp_path, make_event):
    path = tmp_path / "events.db"
    first, other = make_event(), make_event(2.0)
    provisional = replace(first, final=False)
    changed = {"probabilities": {"smirk": 0.9, "frown": 0.1}, "label": "smirk", "uncertain": True, "head_sha256": "ab"}
    reclassified = replace(provisional, **changed)
    with Store(path) as store:
        session = store.start_session("camera", **SESSION)
        for event in (provisional, other):
            store.put(session, event)
        store.replace_reclassifications([(session, reclassified), (session, other)])
        store.flush()
        assert [event_fields(event) for event in read_events(path)] == [event_fields(reclassified), event_fields(other)]
        original = {"probabilities": event_fields(first)["probabilities"], "label": "positive", "uncertain": False}
        assert read_original_predictions(path, session) == {first.id: original}
        store.put(session, first)  # the final event comes later, classified by the head in use
        store.flush()
        assert not read_original_predictions(path, session)
        store.replace_reclassifications([(session, reclassified)])
        store.replace_reclassifications([])
    assert [event_fields(event) for event in read_events(path)] == [event_fields(first), event_fields(other)]


DAMAGES = {
    "1-1": "UPDATE events SET aus = '{bad' WHERE id = ?",
    "1-2": "UPDATE events SET probabilities = 'null' WHERE id = ?",
    "1-3": "UPDATE events SET probabilities = '{\"positive\": null}' WHERE id = ?",
    "1-4": "UPDATE events SET label = CAST(x'ff' AS TEXT) WHERE id = ?",
    "1-5": "UPDATE events SET kind = 'wink' WHERE id = ?",
    "1-6": "UPDATE events SET onset_s = NULL WHERE id = ?",
    "1-7": "UPDATE events SET onset_s = 1e300 WHERE id = ?",
    "1-9": "UPDATE events SET onset_wall = x'00' WHERE id = ?",
    "1-10": "UPDATE events SET onset_wall = '2026-13-01' WHERE id = ?",
    "1-11": "UPDATE events SET apex_jpeg = 5 WHERE id = ?",
    "1-12": """UPDATE events SET probabilities = '{"\\u001b": 1}' WHERE id = ?""",
    "1-8": f"UPDATE events SET aus = '{{\"4\": 1{400 * '0'}}}' WHERE id = ?",
}


def test_damaged_row_costs_only_itself_and_is_named(tmp_path, make_event, caplog):
    path, ids = tmp_path / "events.db", ["1-0", *DAMAGES]
    with Store(path) as store:
        session = store.start_session("camera", **SESSION)
        for n, event_id in enumerate(ids):
            store.put(session, make_event(float(n), id=event_id))
            store.label(session, make_event(id=event_id), "smirk", {})
    with sqlite3.connect(path) as connection:
        for event_id, damage in DAMAGES.items():
            connection.execute(damage, (event_id,))
        connection.execute("UPDATE sessions SET gaps = 'x', settings = '[]'")
        connection.execute("UPDATE codings SET predicted_aus = 'x' WHERE event <> '1-0'")
    connection.close()
    assert [event.id for event in read_events(path)] == ["1-0"]
    assert [label.event for label in read_labels(path)] == ["1-0"]
    (found,) = read_sessions(path)
    assert (found.source, found.settings, found.gaps) == ("camera", {}, [])
    for name in (*(f"event {event_id} of session 1" for event_id in DAMAGES), "the settings of session 1", "label 2"):
        assert f"{name} is damaged and left out" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        "source = x'00'",
        "bundle_sha256 = x'00'",
        "started = 'soon'",
        "started = '0001-01-01T00:00:00+14:00'",
        "ended = '2026-01-01T00:00:00'",  # of which time zone?
        "retention_h = 1e12",
        "end_s = x'00'",
        "frames = 'many'",
    ],
)
def test_damaged_session_costs_only_itself(tmp_path, damage, caplog):
    path = tmp_path / "events.db"
    with Store(path) as store:
        for source in ("whole", "damaged"):
            store.start_session(source, **SESSION)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE sessions SET {damage} WHERE id = 2")
    assert [session.source for session in read_sessions(path)] == ["whole"]
    assert "session 2 is damaged and left out" in caplog.text


@pytest.mark.parametrize("settings", ['{"slowdown": 0}', '{"slowdown": "slow"}', '{"slowdown": 1e-320}'])
def test_impossible_slowdown_is_left_out(tmp_path, settings):
    path = tmp_path / "events.db"
    with Store(path) as store:
        store.start_session("camera", **SESSION)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE sessions SET settings = ?", (settings,))
    assert [session.slowdown for session in read_sessions(path)] == [1.0]


def test_texts_of_another_program_command_no_terminal(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        store.label(store.start_session("camera", **SESSION), make_event(), "smirk", {})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE sessions SET source = ?, purpose = ?", ("\x1b]0;x\x07", "a\nb"))
        connection.execute("UPDATE codings SET coder = ?, label = ?", ("\x1b[2J", "\u202eevil"))
    (session,), (coding,) = read_sessions(path), read_codings(path)
    assert (session.source, session.purpose) == ("\ufffd]0;x\ufffd", "a b")
    assert (coding.coder, coding.label) == ("\ufffd[2J", "\ufffdevil")


def test_curves_live_as_long_as_their_session(tmp_path):
    path = tmp_path / "events.db"
    motion = np.array([0.1, np.nan, 2.5], np.float32)
    with Store(path) as store:
        session = store.start_session("camera", **SESSION, retention_h=0.5)
        for track in (2, 1, 1):
            store.put_curve(session, MotionCurve(track, 0.04, motion, motion / 2))
        end(store, session)
        store.flush()
        one, two = read_curves(path, session)
        assert (one.track, two.track, one.bin_s) == (1, 2, 0.04)
        np.testing.assert_allclose(one.motion_px, motion, rtol=1e-3)
        np.testing.assert_allclose(two.noise_px, motion / 2, rtol=1e-3)
        store.purge_expired(datetime.now(UTC) + timedelta(hours=1))
        store.flush()
        assert not read_curves(path, session)


def test_consent_is_remembered_until_everything_is_deleted(tmp_path):
    path = tmp_path / "events.db"
    with Store(path) as store:
        store.remember_consent(Consent("old", "2026-03-01"))
        store.remember_consent(CONSENT)
        store.flush()
        assert read_consent(path) == CONSENT
        store.delete_all()
        assert read_consent(path) is None
