"""What coders say stands beside what the machine said."""

from dataclasses import replace

import pytest

from merau.engine.errors import UserError
from merau.stream.coding import MISSED, check_coding, new_missed_id, read_coded_events, read_missed_events
from merau.stream.events import Coding, export_fields
from merau.stream.store import Store, read_coding_history, read_codings, read_events, read_labels

SESSION = {"settings": {}, "bundle": "default", "bundle_sha256": "ab" * 32}


@pytest.fixture
def coded(tmp_path, make_event):
    """A store with three events: one corrected, one false, one that nobody coded; and a missed one."""
    path = tmp_path / "events.db"
    with Store(path) as store:
        session = store.start_session("interview.mp4", **SESSION)
        for n in range(3):
            store.put(session, make_event(n + 1.0, id=f"1-{n}"))
        corrected = Coding(session, "1-0", "anna", label="smirk", aus=("6", "12"), apex_s=1.05, note="left side")
        store.put_coding(corrected, make_event(id="1-0"), {"positive": 1.0})
        store.put_coding(Coding(session, "1-1", "anna", is_false=True, label="smirk"), make_event(id="1-1"))
        added = Coding(session, new_missed_id(), "ben", "micro", "frown", None, 5.0, 5.1, 5.2, track=2, is_missed=True)
        store.put_coding(added)
    return path


def test_coded_events_hold_the_words_of_the_coders(coded):
    first, missed = read_coded_events(coded)
    assert (first.label, first.probabilities, first.aus) == ("smirk", {"smirk": 1.0}, {"6": 1.0, "12": 1.0})
    assert (first.onset_s, first.apex_s) == (0.84, 1.05)
    assert missed.id.startswith(MISSED)
    assert (missed.source, missed.label, missed.onset_s, missed.track) == ("interview.mp4", "frown", 5.0, 2)
    assert [event.id for event in read_coded_events(coded, coder="anna")] == ["1-0"]
    assert [event.label for event in read_events(coded)] == ["positive"] * 3  # the machine's word stays
    assert [label.label for label in read_labels(coded)] == ["smirk", "frown"]


def test_exports_tell_the_two_words_apart(coded):
    event, (missed,) = next(read_events(coded)), read_missed_events(coded)
    fields = export_fields(event)
    assert (fields["label"], fields["user_label"], fields["user_aus"]) == ("positive", "smirk", "6+12")
    assert (fields["coder"], fields["user_apex_s"], fields["user_onset_s"]) == ("anna", 1.05, None)
    fields = export_fields(missed)
    assert (fields["kind"], fields["onset_s"], fields["aus"], fields["user_kind"]) == (None, None, {}, "micro")
    assert (fields["track"], fields["user_missed"], fields["user_onset_s"]) == (2, True, 5.0)


def test_coders_stand_side_by_side_and_undo_walks_back(tmp_path, make_event):
    path = tmp_path / "events.db"
    with Store(path) as store:
        session = store.start_session("camera", **SESSION)
        store.put(session, make_event(id="1-0"))
        for coder, label in (("anna", "smirk"), ("ben", "frown"), ("anna", "wink")):
            store.put_coding(Coding(session, "1-0", coder, label=label))

        def current():
            store.flush()
            return {coding.coder: coding.label for coding in read_codings(path, session)}

        assert current() == {"anna": "wink", "ben": "frown"}
        store.undo_coding(session, "anna")
        assert current() == {"anna": "smirk", "ben": "frown"}
        store.undo_coding(session, "anna")
        store.undo_coding(session, "anna")  # there is nothing left
        assert current() == {"ben": "frown"}
        steps = [(step.coding.coder, step.coding.label, step.is_undo) for step in read_coding_history(path, session)]
    undone = [("anna", "wink", True), ("anna", "smirk", True)]
    assert steps == [("anna", "smirk", False), ("ben", "frown", False), ("anna", "wink", False), *undone]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": "two\nlines"}, "name of 1 to 40"),
        ({"note": "x" * 1001}, "a note 1000"),
        ({"aus": ("6", "left")}, "such as 6\\+12"),
        ({"kind": "wink"}, "choose one of micro"),
        ({"apex_s": 9.0}, "in this order"),
        ({"onset_s": float("nan")}, "an onset"),
    ],
)
def test_coding_that_cannot_be_is_refused(make_event, change, reason):
    with pytest.raises(UserError, match=reason):
        check_coding(replace(Coding(1, "1-0"), **change), make_event())


def test_missed_event_needs_everything(make_event):
    with pytest.raises(UserError, match="needs a face"):
        check_coding(Coding(1, new_missed_id(), kind="micro", onset_s=1.0, apex_s=1.1, offset_s=1.2), None)
    whole = Coding(1, new_missed_id(), " anna\n", "micro", None, None, 1.0, 1.1, 1.2, track=1, is_missed=True)
    assert check_coding(whole, None).coder == "anna"
