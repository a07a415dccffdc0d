import pytest
from pympi.Elan import Eaf

from merau.engine.errors import UserError
from merau.stream.export import write_events
from merau.stream.store import read_events
from merau.stream.study.coded import Coded, CodedRecording, CodedSpan, join, read_coded


def write_eaf(path, tiers, medium=None):
    document = Eaf()
    document.remove_tier("default")
    for name, annotations in tiers.items():
        document.add_tier(name)
        for start_ms, end_ms, value in annotations:
            document.add_annotation(name, start_ms, end_ms, value)
    if medium:
        document.add_linked_file(medium, mimetype="video/mp4")
    document.to_file(path)
    return str(path)


def test_store_gives_the_machine_and_each_coder(study_store):
    machine = read_coded(str(study_store), {})
    assert machine.name == "machine"
    assert len(machine.recordings) == 12
    assert machine.recordings[0].end_s == 120
    ann = read_coded(f"{study_store}#Ann", {})
    (recording,) = ann.recordings
    assert recording.spans == (CodedSpan("macro", "negative", 60.0, 61.0, 62.0),)
    assert "saw the machine's events" in str(ann.notes[-1])
    with pytest.raises(UserError, match="no codings of 'Bob': its coders are 'Ann'"):
        read_coded(f"{study_store}#Bob", {})


def test_eaf_names_kinds_by_tier_annotation_or_option(tmp_path):
    tiers = {
        "Micro-expressions": [(1000, 1400, "positive")],
        "coded": [(2000, 4000, "macro")],
        "ME apex": [(1190, 1210, "")],
        "blinzeln": [(5000, 5200, "x")],
        "lang": [(6000, 8000, "y")],
        "words": [(0, 9000, "hello")],
    }
    path = write_eaf(tmp_path / "talk_coded.eaf", tiers, "file:///C:/films/P1/talk%201.mp4")
    found = read_coded(path, {"blinzeln": "blink", "lang": None})
    (recording,) = found.recordings
    assert recording.path == "C:/films/P1/talk 1.mp4"
    assert recording.spans == (
        CodedSpan("micro", "positive", 1.0, 1.2, 1.4),
        CodedSpan("macro", None, 2.0, None, 4.0),
        CodedSpan("blink", "x", 5.0, None, 5.2),
        CodedSpan("macro", "y", 6.0, None, 8.0),
    )
    assert "tiers without a kind are left out: words" in str(found.notes[0])


def test_eaf_without_any_kind_asks_for_a_tier(tmp_path):
    path = write_eaf(tmp_path / "talk.eaf", {"Annas Kodierung": [(0, 500, "a")]})
    with pytest.raises(UserError, match="tell it by --tier 'Annas Kodierung=micro'"):
        read_coded(path, {})
    (tmp_path / "broken.eaf").write_text("<no")
    with pytest.raises(UserError, match=r"broken.eaf is not an ELAN file"):
        read_coded(str(tmp_path / "broken.eaf"), {})


def test_own_elan_export_reads_as_the_events(study_store, tmp_path):
    events = list(read_events(study_store, 12))
    with (tmp_path / "stress.eaf").open("wb") as file:
        write_events("eaf", events, file)
    spans = read_coded(str(tmp_path / "stress.eaf"), {}).recordings[0].spans
    assert [(s.kind, s.label or "", s.onset_s, s.offset_s) for s in spans] == [
        (e.kind, e.label, pytest.approx(e.onset_s), pytest.approx(e.offset_s)) for e in events
    ]


def test_csv_has_the_columns_of_the_exports(tmp_path):
    path = tmp_path / "ann.csv"
    path.write_text("file;kind;class;onset;offset\nP1/talk.mp4;micro;positive;1,5;1,9\nP2/talk.mp4;;;;\n")
    found = read_coded(str(path), {})
    assert found.recordings == (
        CodedRecording("P1/talk.mp4", None, (CodedSpan("micro", "positive", 1.5, None, 1.9),)),
        CodedRecording("P2/talk.mp4", None, ()),
    )
    for row, reason in (
        ("a,micro,2,1", "not after"),
        ("a,odd,1,2", "unknown kind 'odd'"),
        ("a,micro,x,2", "'x' is no"),
    ):
        path.write_text(f"file,kind,onset_s,offset_s\n{row}\n")
        with pytest.raises(UserError, match=f"line 2: .*{reason}"):
            read_coded(str(path), {})


def coded(name, *paths):
    return Coded(name, tuple(CodedRecording(path, None, ()) for path in paths))


def test_recordings_are_joined_by_the_ends_of_their_paths():
    machine = coded("machine", "/data/P1/talk.mp4", "/data/P2/talk.mp4", "/data/P3/walk.mp4")
    joint, notes = join([machine, coded("Ann", "P2/talk.eaf", "P1/talk.eaf")])
    assert [recording.path for recording in joint] == ["/data/P1/talk.mp4", "/data/P2/talk.mp4"]
    assert [str(note) for note in notes] == ["Not coded by all, and left out: walk."]
    with pytest.raises(UserError, match="may be .* or .*: name the recordings with their folders"):
        join([coded("Ann", "talk.eaf"), machine])
    with pytest.raises(UserError, match="have no recording in common"):
        join([machine, coded("Ann", "other.eaf")])
