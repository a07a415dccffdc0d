"""Every format holds every field: each file is read back by the library its users have."""

import csv
import html
import io
import json
import time
from itertools import pairwise
from xml.etree import ElementTree

import duckdb
import polars
import pyarrow.parquet
import pytest
import webvtt
from pympi.Elan import Eaf

from merau.engine.text import plain
from merau.stream.events import EXPORT_FIELDS, export_fields
from merau.stream.export import FORMATS


@pytest.fixture
def events(make_event):
    return [
        make_event(1.0),
        make_event(2.0, kind="blink", aus={}, probabilities={}, label="", uncertain=True, onset_wall=None),
        make_event(3.0, track=2, kind="macro", offset_s=4.5, source='odd "name", --> <b>.mp4'),
    ]


def written(format, events):
    file = io.BytesIO()
    FORMATS[format](events, file)
    file.seek(0)
    return file


def test_jsonl(events):
    assert [json.loads(line) for line in written("jsonl", events)] == [export_fields(event) for event in events]


def test_csv_flattens_the_nested_fields(events):
    rows = list(csv.DictReader(io.TextIOWrapper(written("csv", events))))
    assert list(rows[0])[:10] == [*EXPORT_FIELDS[:9], "aus.4"]
    assert [row["aus.12"] for row in rows] == ["0.93", "", "0.93"]
    assert [row["uncertain"] for row in rows] == ["false", "true", "false"]
    assert rows[2]["source"] == events[2].source
    assert float(rows[0]["probabilities.positive"]) == 0.83
    assert list(rows[0]).index("aus.6") < list(rows[0]).index("aus.12")


def test_parquet(events):
    rows = pyarrow.parquet.read_table(written("parquet", events), use_threads=False).to_pylist()
    for row in rows:
        row["aus"], row["probabilities"] = dict(row["aus"]), dict(row["probabilities"])
    assert rows == [export_fields(event) for event in events]


def test_elan_has_a_tier_per_face_and_kind(events, tmp_path):
    path = tmp_path / "events.eaf"
    path.write_bytes(written("eaf", events).getvalue())
    document = Eaf(path)
    assert [name for name in document.get_tier_names() if not name.endswith("fields")] == [
        "face 1 micro",
        "face 1 blink",
        "face 2 macro",
    ]
    assert document.get_annotation_data_for_tier("face 1 micro") == [(840, 1200, "micro · positive 83 % · AU6 AU12")]
    ((start_ms, end_ms, fields, _),) = document.get_ref_annotation_data_for_tier("face 2 macro fields")
    assert (start_ms, end_ms, json.loads(fields)) == (2840, 4500, export_fields(events[2]))


def test_webvtt_cues_carry_their_fields(events):
    document = webvtt.from_buffer(io.StringIO(written("vtt", events).read().decode()))
    cues = list(document)
    assert [(cue.start, cue.end) for cue in cues][:1] == [("00:00:00.840", "00:00:01.200")]
    assert [cue.text for cue in cues][:2] == ["face 1 · micro · positive 83 % · AU6 AU12", "face 1 · blink"]
    notes = [*document.header_comments, *(note for cue in cues for note in cue.comments)]
    assert [json.loads(note) for note in notes] == [export_fields(event) for event in events]


WORDS = [
    'a<b>&"c',
    "x --> y",
    "two\nlines\n\nand a rest",
    "\x1b[31mred\x07\x00",
    "caf\udce9",
    "\u202egnp.exe",
    "\ufffe\uffff\x85",
    "=1+1",
]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("format", FORMATS)
def test_words_stay_words_for_other_readers(format, word, make_event, tmp_path):
    path = tmp_path / f"events.{format}"
    probabilities = {word: 0.83, "negative": 0.17}
    event = make_event(1.0, label=word, source=f"{word}.mp4", id=f"1 {word}", probabilities=probabilities)
    path.write_bytes(written(format, [event, make_event(2.0)]).getvalue())
    for first, second in READERS[format](path):
        assert (plain(first), second) == (first, "positive")
        assert first.removeprefix("'") == plain(word)


def read_csv(path):
    yield [row["label"] for row in csv.DictReader(path.open(encoding="utf-8", newline=""))]
    yield polars.read_csv(path)["label"].to_list()
    yield duckdb.read_csv(str(path), header=True).project("label").fetchnumpy()["label"].tolist()


def read_jsonl(path):
    yield polars.read_ndjson(path)["label"].to_list()
    yield duckdb.read_json(str(path)).project("label").fetchnumpy()["label"].tolist()


def read_parquet(path):
    yield polars.read_parquet(path)["label"].to_list()
    yield duckdb.read_parquet(str(path)).project("label").fetchnumpy()["label"].tolist()


def read_eaf(path):
    document = Eaf(path)
    notes = document.get_ref_annotation_data_for_tier("face 1 micro fields")
    yield [json.loads(fields)["label"] for _, _, fields, _ in notes]
    yield [
        value.split(" · ")[1].removesuffix(" 83 %")
        for _, _, value in document.get_annotation_data_for_tier("face 1 micro")
    ]


def read_vtt(path):
    cues = list(webvtt.read(path))
    yield [html.unescape(cue.raw_text).split(" · ")[2].removesuffix(" 83 %") for cue in cues]


READERS = {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet, "eaf": read_eaf, "vtt": read_vtt}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", " =1", "a;=1", "\uff1d1"])
def test_csv_has_no_formula(text, make_event):
    event = make_event(1.0, source=text, label=text, probabilities={text: 0.8})
    for row in csv.reader(io.TextIOWrapper(written("csv", [event]), encoding="utf-8", newline="")):
        for part in (part.strip() for cell in row for part in cell.split(";")):
            assert part[:1] not in {"=", "+", "-", "@", "\uff1d"}


@pytest.fixture
def overlapping(make_event):
    """Four events of one face and kind, the longest over all others, not in the order of time."""
    spans = [(3.0, 3.4), (1.0, 4.0), (2.0, 2.5), (2.5, 2.8)]
    return [make_event(s + 0.2, id=f"{s}", kind="speech", onset_s=s, offset_s=e) for s, e in spans]


def test_elan_tiers_never_overlap(overlapping, tmp_path):
    path = tmp_path / "events.eaf"
    path.write_bytes(written("eaf", overlapping).getvalue())
    document = Eaf(path)
    tiers = [name for name in document.get_tier_names() if not name.endswith("fields")]
    assert tiers == ["face 1 speech", "face 1 speech 2"]
    spans = {name: sorted(document.get_annotation_data_for_tier(name)) for name in tiers}
    assert sum(map(len, spans.values())) == len(overlapping)
    assert all(first[1] <= second[0] for tier in spans.values() for first, second in pairwise(tier))


def test_elan_fields_hang_on_their_own_event(overlapping, tmp_path):
    path = tmp_path / "events.eaf"
    path.write_bytes(written("eaf", overlapping).getvalue())
    document = Eaf(path)
    found = 0
    for name in [name for name in document.get_tier_names() if name.endswith("fields")]:
        for start_ms, end_ms, fields, _ in document.get_ref_annotation_data_for_tier(name):
            event = json.loads(fields)
            assert (start_ms, end_ms) == (1000 * event["onset_s"], 1000 * event["offset_s"])
            found += 1
    assert found == len(overlapping)


def test_elan_times_are_in_order(overlapping, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    root = ElementTree.fromstring(written("eaf", overlapping).getvalue())
    times = [int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")]
    assert times == sorted(times)
    assert len(times) == 2 * len(overlapping)
    assert root.attrib["DATE"].endswith("+05:30")
    monkeypatch.undo()
    time.tzset()


def test_webvtt_cues_are_in_order(overlapping):
    starts = [cue.start for cue in webvtt.from_buffer(io.StringIO(written("vtt", overlapping).read().decode()))]
    assert starts == sorted(starts)


@pytest.mark.parametrize("format", FORMATS)
def test_no_events_is_a_valid_file(format, tmp_path):
    path = tmp_path / f"events.{format}"
    path.write_bytes(written(format, []).getvalue())
    if format == "parquet":
        assert pyarrow.parquet.read_table(path).column_names == list(EXPORT_FIELDS)
    elif format == "eaf":
        assert list(Eaf(path).get_tier_names()) == []
    elif format == "vtt":
        assert len(webvtt.read(path)) == 0
    else:
        assert path.read_text() == (
            "" if format == "jsonl" else ",".join(EXPORT_FIELDS[:9] + EXPORT_FIELDS[11:]) + "\n"
        )
