"""Every format holds every field: each file is read back by the library its users have."""

import csv
import html
import io
import json

import duckdb
import polars
import pyarrow.parquet
import pytest
import webvtt
from pympi.Elan import Eaf

from merau.engine.text import plain
from merau.stream.events import EXPORT_FIELDS, Coding, export_fields
from merau.stream.export import FORMATS, write_events
from merau.stream.export_settings import ExportSettings

COLUMNS = EXPORT_FIELDS["both"]


@pytest.fixture
def events(make_event):
    return [
        make_event(1.0),
        make_event(2.0, kind="blink", aus={}, probabilities={}, label="", uncertain=True, onset_wall=None),
        make_event(3.0, track=2, kind="macro", offset_s=4.5, source='odd "name", --> <b>.mp4'),
    ]


def written(format, events):
    file = io.BytesIO()
    write_events(format, events, file)
    file.seek(0)
    return file


def test_jsonl(events):
    assert [json.loads(line) for line in written("jsonl", events)] == [export_fields(event) for event in events]


def test_csv_flattens_the_nested_fields(events):
    rows = list(csv.DictReader(io.TextIOWrapper(written("csv", events))))
    assert list(rows[0])[:10] == [*COLUMNS[:9], "aus.4"]
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
    yield [value for _, _, value in Eaf(path).get_annotation_data_for_tier("face 1 micro")]


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


def test_webvtt_cues_are_in_order(overlapping):
    starts = [cue.start for cue in webvtt.from_buffer(io.StringIO(written("vtt", overlapping).read().decode()))]
    assert starts == sorted(starts)


@pytest.mark.parametrize("format", FORMATS)
def test_no_events_is_a_valid_file(format, tmp_path):
    path = tmp_path / f"events.{format}"
    path.write_bytes(written(format, []).getvalue())
    if format == "parquet":
        assert pyarrow.parquet.read_table(path).column_names == list(COLUMNS)
    elif format == "eaf":
        assert list(Eaf(path).get_tier_names()) == []
    elif format == "vtt":
        assert len(webvtt.read(path)) == 0
    else:
        assert path.read_text() == ("" if format == "jsonl" else ",".join(COLUMNS[:9] + COLUMNS[11:]) + "\n")


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_labels_choose_whose_word_is_written(format, make_event, tmp_path):
    corrected = Coding(1, "1-1", "anna", label="smirk", aus=("6",), apex_s=1.1, note="left")
    missed = Coding(1, "missed-1", "anna", "macro", None, None, 5.0, 5.5, 6.0, track=1, is_missed=True)
    events = [make_event(1.0, id="1-1", codings=(corrected,)), make_event(2.0, id="1-2")]
    events += [make_event(5.5, id="missed-1", label="", probabilities={}, aus={}, codings=(missed,))]
    rows = {}
    for labels in ("machine", "both", "only"):
        path = tmp_path / f"{labels}.{format}"
        with path.open("wb") as file:
            write_events(format, events, file, ExportSettings(labels))
        read = {"csv": polars.read_csv, "jsonl": polars.read_ndjson, "parquet": polars.read_parquet}[format]
        rows[labels] = read(path).to_dicts()
    assert [row["label"] for row in rows["machine"]] == ["positive", "positive"]
    assert "coder" not in rows["machine"][0]
    assert [row["id"] for row in rows["both"]] == ["1-1", "1-2", "missed-1"]
    first, uncoded, added = rows["both"]
    assert (first["label"], first["user_label"], first["apex_s"], first["user_apex_s"]) == (
        "positive",
        "smirk",
        1.0,
        1.1,
    )
    assert (uncoded["user_label"], added["kind"], added["user_kind"]) == (None, None, "macro")
    assert [(row["id"], row["kind"], row["apex_s"], row["coder"]) for row in rows["only"]] == [
        ("1-1", "micro", 1.1, "anna"),
        ("missed-1", "macro", 5.5, "anna"),
    ]
    assert rows["only"][0]["label"] == "smirk"
