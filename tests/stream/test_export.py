"""Every format holds every field: each file is read back by the library its users have."""

import csv
import io
import json

import pyarrow.parquet
import pytest
import webvtt
from pympi.Elan import Eaf

from merau.stream.events import FIELDS, event_fields
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
    assert [json.loads(line) for line in written("jsonl", events)] == [event_fields(event) for event in events]


def test_csv_flattens_the_nested_fields(events):
    rows = list(csv.DictReader(io.TextIOWrapper(written("csv", events))))
    assert list(rows[0])[:10] == [*FIELDS[:9], "aus.4"]
    assert [row["aus.12"] for row in rows] == ["0.93", "", "0.93"]
    assert [row["uncertain"] for row in rows] == ["false", "true", "false"]
    assert rows[2]["source"] == events[2].source
    assert float(rows[0]["probabilities.positive"]) == 0.83
    assert list(rows[0]).index("aus.6") < list(rows[0]).index("aus.12")


def test_parquet(events):
    rows = pyarrow.parquet.read_table(written("parquet", events), use_threads=False).to_pylist()
    for row in rows:
        row["aus"], row["probabilities"] = dict(row["aus"]), dict(row["probabilities"])
    assert rows == [event_fields(event) for event in events]


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
    assert (start_ms, end_ms, json.loads(fields)) == (2840, 4500, event_fields(events[2]))


def test_webvtt_cues_carry_their_fields(events):
    document = webvtt.from_buffer(io.StringIO(written("vtt", events).read().decode()))
    cues = list(document)
    assert [(cue.start, cue.end) for cue in cues][:1] == [("00:00:00.840", "00:00:01.200")]
    assert [cue.text for cue in cues][:2] == ["face 1 · micro · positive 83 % · AU6 AU12", "face 1 · blink"]
    notes = [*document.header_comments, *(note for cue in cues for note in cue.comments)]
    assert [json.loads(note) for note in notes] == [event_fields(event) for event in events]


@pytest.mark.parametrize("format", FORMATS)
def test_no_events_is_a_valid_file(format, tmp_path):
    path = tmp_path / f"events.{format}"
    path.write_bytes(written(format, []).getvalue())
    if format == "parquet":
        assert pyarrow.parquet.read_table(path).column_names == list(FIELDS)
    elif format == "eaf":
        assert list(Eaf(path).get_tier_names()) == []
    elif format == "vtt":
        assert len(webvtt.read(path)) == 0
    else:
        assert path.read_text() == ("" if format == "jsonl" else ",".join(FIELDS[:9] + FIELDS[11:]) + "\n")
