"""CAS(ME)^3 on a made-up release of its layout."""

import pytest

from merau.trainers.data.prepare import load
from merau.trainers.data.releases.release import Corrections
from tests.trainers.data.releases.layouts import MAKE, casme_cubed, described, sheets


def test_load_casme_cubed_finds_the_clip(tmp_path):
    casme_cubed(tmp_path)
    sample = load("casme^3", tmp_path, MAKE).samples[0]
    assert described(sample) == ("casme^3", "1", "a", 8, 3, "4", "disgust", "negative")


def test_load_casme_cubed_skipped_clip_has_reason(tmp_path):
    casme_cubed(tmp_path)
    release = load("casme^3", tmp_path, MAKE)
    assert release.skipped == [("1/a_2", "onset and apex are the same frame, 200")]


def test_load_casme_cubed_says_how_long_micros_count(tmp_path):
    casme_cubed(tmp_path)
    head = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    rows = [["spNO.1", "a", 170, 173, end, "4", "I", "disgust"] for end in (185, 186, 200)]  # .5, .53 and 1 s
    sheets(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", label=[head, *rows])
    release = load("casme^3", tmp_path, MAKE)
    assert [sample.kind for sample in release.samples] == ["micro"] * 3
    assert [sample.duration_s for sample in release.samples] == pytest.approx([0.5, 0.5333, 1], abs=1e-3)
    treated = "they stay micro-expressions, as coded, and are measured from onset to apex"
    assert f"2 of 3 micro-expressions last longer than 0.5 s: {treated}." in release.notes
    short = load("casme^3", tmp_path, Corrections(readings=frozenset({"half-second"})))
    assert [sample.name for sample in short.samples] == ["a"]
    assert [name for name, _ in short.skipped] == ["1/a_2", "1/a_3"]
