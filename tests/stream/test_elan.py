"""ELAN files as ELAN wants them: whole, in order, beside the film, and read back without loss."""

import io
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from pympi.Elan import Eaf

from merau.engine.errors import UserError
from merau.stream.elan import MACHINE, ORDER, PHASES, add_to_eaf, read_eaf, write_eaf
from merau.stream.events import Coding
from merau.stream.export_settings import ExportSettings

HERS = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="Ann" DATE="2026-01-01T10:00:00+01:00" FORMAT="3.0" VERSION="3.0"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<!-- keep me --><LICENSE LICENSE_URL=""/>
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="file:///P02.mp4" MIME_TYPE="video/mp4"/>
<PROPERTY NAME="lastUsedAnnotationId">7</PROPERTY></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="900"/><TIME_SLOT TIME_SLOT_ID="ts2"/>
<TIME_SLOT TIME_SLOT_ID="ts9" TIME_VALUE="1400"/></TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="own" TIER_ID="Lächeln" ANNOTATOR="Ann"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a7" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts9"
><ANNOTATION_VALUE>echt</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="own" TIME_ALIGNABLE="true"/>
<CONSTRAINT DESCRIPTION="x" STEREOTYPE="Time_Subdivision"/>
</ANNOTATION_DOCUMENT>""".encode()


@pytest.fixture
def events(make_event):
    """A corrected event, a false one, a blink, and one that the machine missed; by two coders."""
    anna = Coding(1, "1-1", "anna", label="smirk", aus=("6", "12"), apex_s=1.1, offset_s=1.5, note="left side")
    ben = Coding(1, "1-1", "ben", is_false=True)
    missed = Coding(1, "missed-1", "anna", "macro", "frown", None, 5.0, 5.5, 6.0, track=2, is_missed=True)
    return [
        make_event(1.0, id="1-1", codings=(anna, ben)),
        make_event(2.0, id="1-2", kind="blink", aus={}, probabilities={}, label="", uncertain=True),
        make_event(3.0, id="1-3", uncertain=True),
        make_event(5.5, id="missed-1", track=2, kind="macro", onset_s=5.0, offset_s=6.0, label="", codings=(missed,)),
    ]


@pytest.fixture
def read(tmp_path):
    """Read the annotations of a file with this content."""

    def read(content):
        path = tmp_path / "read.eaf"
        path.write_bytes(content)
        return read_eaf(path)

    return read


def written(events, **settings):
    file = io.BytesIO()
    write_eaf(events, file, ExportSettings(**settings))
    return file.getvalue()


@pytest.fixture(scope="module")
def schema():
    path = Path(sys.prefix, "EAFv3.0.xsd")
    if not path.exists():
        pytest.skip("not run: scripts/eaf_schema.sh PYTHON brings the schema")
    return xmlschema.XMLSchema10(path)


def check_structure(content):
    """Check what the EAF 3.0 schema and its key references ask for, and ELAN's rules for tiers."""
    root = ElementTree.fromstring(content)
    places = [ORDER.index(child.tag) for child in root]
    assert places == sorted(places)
    slots = {slot.attrib["TIME_SLOT_ID"]: slot.attrib.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    times = [int(ms) for ms in slots.values() if ms is not None]
    assert times == sorted(times)
    ids = [a.attrib["ANNOTATION_ID"] for tag in ("ALIGNABLE", "REF") for a in root.iter(f"{tag}_ANNOTATION")]
    assert len(ids) == len(set(ids))
    assert len(slots) == len(list(root.iter("TIME_SLOT")))
    types = {t.attrib["LINGUISTIC_TYPE_ID"]: t.attrib for t in root.iter("LINGUISTIC_TYPE")}
    vocabularies = {
        vocabulary.attrib["CV_ID"]: {value.text for value in vocabulary.iter("CVE_VALUE")}
        for vocabulary in root.iter("CONTROLLED_VOCABULARY")
    }
    languages = {language.attrib["LANG_ID"] for language in root.iter("LANGUAGE")}
    assert {value.attrib["LANG_REF"] for value in root.iter("CVE_VALUE")} <= languages
    constraints = {constraint.attrib["STEREOTYPE"] for constraint in root.iter("CONSTRAINT")}
    tiers = {tier.attrib["TIER_ID"]: tier for tier in root.iter("TIER")}
    assert len(tiers) == len(list(root.iter("TIER")))
    for tier in tiers.values():
        kind = types[tier.attrib["LINGUISTIC_TYPE_REF"]]
        assert ("PARENT_REF" in tier.attrib) == ("CONSTRAINTS" in kind)
        assert kind.get("CONSTRAINTS") in {None, *constraints}
        assert tier.attrib.get("PARENT_REF") in {None, *tiers}
        values = {value.text for value in tier.iter("ANNOTATION_VALUE")}
        assert values <= vocabularies.get(kind.get("CONTROLLED_VOCABULARY_REF"), values)
        spans = [[int(slots[a.attrib[f"TIME_SLOT_REF{n}"]]) for n in (1, 2)] for a in tier.iter("ALIGNABLE_ANNOTATION")]
        assert all(start < end for start, end in spans)
        assert all(first[1] <= second[0] for first, second in pairwise(sorted(spans)))
        assert {a.attrib["ANNOTATION_REF"] for a in tier.iter("REF_ANNOTATION")} <= set(ids)
    return root


def test_tiers_are_by_face_kind_and_annotator(events, tmp_path):
    path = tmp_path / "events.eaf"
    path.write_bytes(written(events))
    root = check_structure(path.read_bytes())
    document = Eaf(path)
    of_events = [name for name in document.get_tier_names() if not name.endswith(("phase", "details"))]
    assert of_events == [
        "face 1 micro",
        "face 1 blink",
        "face 1 micro · anna",
        "face 2 macro · anna",
        "face 1 micro · ben",
    ]
    assert document.get_annotation_data_for_tier("face 1 micro") == [(840, 1200, "positive"), (2840, 3200, "uncertain")]
    assert document.get_annotation_data_for_tier("face 1 micro phase")[:2] == [
        (840, 1000, PHASES[0]),
        (1000, 1200, PHASES[1]),
    ]
    assert document.get_annotation_data_for_tier("face 1 micro · anna") == [(840, 1500, "smirk")]
    assert document.get_annotation_data_for_tier("face 1 micro · ben") == [(840, 1200, "false event")]
    ((_, _, details, _), *_) = document.get_ref_annotation_data_for_tier("face 1 micro details")
    assert details == "1-1 · 83% · AU6 AU12 · 0.81 px"
    people = {t.attrib["TIER_ID"]: (t.attrib["PARTICIPANT"], t.attrib["ANNOTATOR"]) for t in root.iter("TIER")}
    assert people["face 1 micro"] == ("face 1", MACHINE)
    assert people["face 2 macro · anna details"] == ("face 2", "anna")


def test_files_follow_the_schema(events, schema):
    for content in (written(events), written([]), add_to_eaf(written(events), HERS, Path("hers.eaf"))):
        schema.validate(io.BytesIO(content))
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema.validate(io.BytesIO(written(events).replace(b'TIME_SLOT_REF1="ts1"', b'TIME_SLOT_REF1="ts0"')))


def test_labels_choose_the_tiers(events, read):
    machine = {a.tier for a in read(written(events, labels="machine"))}
    only = {a.tier for a in read(written(events, labels="only"))}
    assert machine == {"face 1 micro", "face 1 blink"}
    assert only == {"face 1 micro · anna", "face 2 macro · anna", "face 1 micro · ben"}


def test_recording_is_found_by_both_paths(make_event, tmp_path):
    film = tmp_path / "films" / "P 02.mp4"
    film.parent.mkdir()
    film.write_bytes(b"")
    root = ElementTree.fromstring(written([make_event(source=str(film))], folder=tmp_path / "out"))
    (media,) = root.iter("MEDIA_DESCRIPTOR")
    assert media.attrib == {
        "MEDIA_URL": film.as_uri(),
        "RELATIVE_MEDIA_URL": "../films/P 02.mp4",
        "MIME_TYPE": "video/mp4",
    }
    root = ElementTree.fromstring(written([make_event(source=str(film))], folder=film.parent))
    assert next(root.iter("MEDIA_DESCRIPTOR")).attrib["RELATIVE_MEDIA_URL"] == "./P 02.mp4"
    for camera in ("rtsp://host/cam", "0", "/dev/video0"):
        assert not list(ElementTree.fromstring(written([make_event(source=camera)])).iter("MEDIA_DESCRIPTOR"))


def test_overlapping_events_are_on_further_tiers(make_event, monkeypatch, read):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    spans = [(3.0, 3.4), (1.0, 4.0), (2.0, 2.5), (2.5, 2.8)]
    speech = [make_event(s + 0.2, id=f"{s}", kind="speech", onset_s=s, offset_s=e) for s, e in spans]
    root = check_structure(written(speech))
    assert root.attrib["DATE"].endswith("+05:30")
    monkeypatch.undo()
    time.tzset()
    found = [(a.tier, a.start_s, a.end_s, a.apex_s, a.details.split(" ")[0]) for a in read(written(speech))]
    assert found == [
        ("face 1 speech", 1.0, 4.0, 1.2, "1.0"),
        ("face 1 speech 2", 2.0, 2.5, 2.2, "2.0"),
        ("face 1 speech 2", 2.5, 2.8, 2.7, "2.5"),
        ("face 1 speech 2", 3.0, 3.4, 3.2, "3.0"),
    ]


def test_our_tiers_go_into_her_file_beside_hers(events, tmp_path):
    merged = add_to_eaf(written(events), HERS, Path("hers.eaf"))
    root = check_structure(merged)
    before = ElementTree.fromstring(HERS)
    assert b"<!-- keep me -->" in merged
    for path in ("HEADER/MEDIA_DESCRIPTOR", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT", "TIME_ORDER/TIME_SLOT"):
        hers = [ElementTree.tostring(element).strip() for element in before.findall(path)]
        assert [
            text for element in root.findall(path) if (text := ElementTree.tostring(element).strip()) in hers
        ] == hers
    path = tmp_path / "merged.eaf"
    path.write_bytes(merged)
    assert Eaf(path).get_annotation_data_for_tier("Lächeln") == [(900, 1400, "echt")]
    assert Eaf(path).get_annotation_data_for_tier("face 1 blink") == [(1840, 2200, "blink")]
    assert root.find("HEADER/PROPERTY").text == str(
        7 + len(list(ElementTree.fromstring(written(events)).iter("ANNOTATION")))
    )
    with pytest.raises(UserError, match="has a tier 'face 1 micro' already"):
        add_to_eaf(written(events), merged, path)


@pytest.mark.parametrize("content", [b"", b"<a/>", b"text", b'<!DOCTYPE x [<!ENTITY a "b">]><ANNOTATION_DOCUMENT/>'])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "other.eaf"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not an ELAN file"):
        read_eaf(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'TIER_ID="face 1 blink"', b"", "'TIER_ID' is missing"),
        (b'TIME_SLOT_ID="ts1"', b"", "'TIME_SLOT_ID' is missing"),
        (b'TIME_SLOT_REF1="ts1"', b"", "'TIME_SLOT_REF1' is missing"),
        (b'TIME_VALUE="840"', b'TIME_VALUE="soon"', "invalid literal"),
        (b'TIME_VALUE="840"', b'TIME_VALUE="1' + b"0" * 400 + b'"', "too large"),
    ],
)
def test_damaged_file_is_one_sentence(events, tmp_path, old, new, reason):
    path = tmp_path / "damaged.eaf"
    assert old in written(events)
    path.write_bytes(written(events).replace(old, new))
    with pytest.raises(UserError, match=f"is a damaged ELAN file: .*{reason}"):
        read_eaf(path)


def test_pipe_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.eaf")
    with pytest.raises(UserError, match="it is not a file"):
        read_eaf(tmp_path / "pipe.eaf")
