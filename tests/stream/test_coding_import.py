"""Codings from ELAN and from tables find the events that they are about."""

import pytest

from merau.engine.errors import UserError
from merau.stream.coding_import import ImportSettings, _names_units, import_codings
from merau.stream.events import Coding
from merau.stream.export import write_events
from merau.stream.export_settings import ExportSettings


@pytest.fixture
def events(make_event):
    return [make_event(1.0, id="1-1"), make_event(3.0, id="1-2"), make_event(3.05, id="2-1", track=2, kind="macro")]


@pytest.fixture
def elan(tmp_path, events):
    """Write an ELAN file of the events."""

    def write(found=events, name="ours.eaf", **settings):
        path = tmp_path / name
        with path.open("wb") as file:
            write_events("eaf", found, file, ExportSettings(**settings))
        return path

    return write


@pytest.mark.parametrize("slowdown", [1.0, 4.0])
def test_codings_survive_the_way_through_elan(events, elan, slowdown):
    anna = Coding(1, "1-1", "anna", label="smirk", aus=("6", "12"), apex_s=1.1, note="left side")
    ben = Coding(1, "1-1", "ben", is_false=True)
    missed = Coding(1, "missed-1", "anna", "macro", "frown", None, 5.0, 5.5, 6.0, track=2, is_missed=True)
    (first, *others) = events
    added = type(first)(**(vars(first) | {"id": "missed-1", "track": 2, "kind": "macro", "codings": (missed,)}))
    coded = [type(first)(**(vars(first) | {"codings": (anna, ben)})), *others, added]
    path = elan(coded, slowdown=slowdown)
    imported = import_codings(path, 1, events, ImportSettings(), slowdown).codings
    by_event = {(coding.coder, coding.event): coding for coding in imported}
    assert set(by_event) == {("anna", "1-1"), ("ben", "1-1"), ("anna", "missed-1")}
    found = by_event["anna", "1-1"]
    assert (found.label, found.aus, found.note, found.kind) == ("smirk", ("6", "12"), "left side", "micro")
    assert [found.onset_s, found.apex_s, found.offset_s] == pytest.approx([0.84, 1.1, 1.2], abs=1e-3)
    assert by_event["ben", "1-1"].is_false
    found = by_event["anna", "missed-1"]
    assert (found.is_missed, found.kind, found.label, found.track) == (True, "macro", "frown", 2)
    assert [found.onset_s, found.apex_s, found.offset_s] == pytest.approx([5.0, 5.5, 6.0], abs=1e-3)


def test_only_changed_annotations_of_the_machine_count(events, elan):
    path = elan()
    assert import_codings(path, 1, events, ImportSettings("anna")).codings == []
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace(">positive<", ">smirk<", 1), encoding="utf-8")
    with pytest.raises(UserError, match="name the coder by --coder"):
        import_codings(path, 1, events, ImportSettings())
    (coding,) = import_codings(path, 1, events, ImportSettings("anna")).codings
    assert (coding.event, coding.coder, coding.label, coding.is_missed) == ("1-1", "anna", "smirk", False)


def test_her_own_tiers_need_their_meaning(events, elan, tmp_path):
    path = elan()
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace("face 1 micro", "Mimik").replace(">positive<", ">Grinsen<"), encoding="utf-8")
    imported = import_codings(path, 1, events, ImportSettings("anna"))
    assert [str(note) for note in imported.notes] == [f"Tiers of {path} that are not read: Mimik."]
    with pytest.raises(UserError, match="has no tier 'Mine'"):
        import_codings(path, 1, events, ImportSettings("anna", tiers={"Mine": None}))
    settings = ImportSettings("anna", face=1, tiers={"Mimik": "micro"}, values={"Grinsen": "AU12"})
    first, second, _ = import_codings(path, 1, events, settings).codings
    assert (first.event, second.event, first.aus, first.kind) == ("1-1", "1-2", ("12",), "micro")
    with pytest.raises(UserError, match="Which tiers .* hold events.*Mimik"):
        path.write_text(path.read_text(encoding="utf-8").replace("face 2 macro", "Rest"), encoding="utf-8")
        import_codings(path, 1, events, ImportSettings("anna"))


def test_table_of_somebody_is_matched_by_overlap(events, tmp_path):
    path = tmp_path / "hers.csv"
    path.write_text("onset_s;offset_s;label;face\n0,80;1,25;smirk;1\n2,9;3,3;AU4;2\n7,0;7,9;frown;1\n")
    imported = import_codings(path, 1, events, ImportSettings("anna"))
    smirk, brow, missed = imported.codings
    assert (smirk.event, smirk.onset_s, smirk.apex_s) == ("1-1", 0.8, None)
    assert (brow.event, brow.aus, brow.label) == ("2-1", ("4",), None)
    assert (missed.is_missed, missed.kind, missed.track, missed.apex_s) == (True, "macro", 1, 7.45)
    assert [str(note) for note in imported.notes] == [
        f"{path} states no apex for 1 events: the middle of each is taken."
    ]


def test_export_comes_back_with_what_was_filled_in(events, tmp_path):
    path = tmp_path / "events.csv"
    with path.open("wb") as file:
        write_events("csv", events, file)
    header, first, *rest = path.read_text().splitlines()
    cells = dict(zip(header.split(","), first.split(","), strict=True))
    cells |= {"user_label": "smirk", "user_aus": "6+12", "user_false": "false"}
    path.write_text("\n".join([header, ",".join(cells.values()), *rest]))
    (coding,) = import_codings(path, 1, events, ImportSettings("anna")).codings
    assert (coding.event, coding.coder, coding.label, coding.aus) == ("1-1", "anna", "smirk", ("6", "12"))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("label\nsmirk\n", "must name onset_s, offset_s"),
        ("onset_s,offset_s\n1,\n", "line 2: onset and offset are needed"),
        ("onset_s,offset_s,face\n5,4,1\n", "line 2: Onset, apex and offset come in this order"),
        ("onset_s,offset_s\n0:05,4\n", "write seconds"),
        ("onset_s,offset_s\n7,8\n", "may be of any face"),
    ],
)
def test_rows_that_cannot_be_are_named(events, tmp_path, rows, reason):
    path = tmp_path / "hers.csv"
    path.write_text(rows)
    with pytest.raises(UserError, match=reason):
        import_codings(path, 1, events, ImportSettings("anna"))


@pytest.mark.parametrize(
    ("text", "is_units"),
    [("AU 6  +  12", True), ("6 12", True), ("AU6,au12;4", True), ("6+", False), ("6" + 100_000 * " " + "x", False)],
)
def test_action_units_are_told_apart_at_once(text, is_units):
    assert _names_units(text) == is_units
