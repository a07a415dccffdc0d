"""CASME II on a made-up release of its layout."""

from merau.trainers.data.prepare import load
from merau.trainers.data.releases.release import Corrections
from tests.trainers.data.releases.layouts import MAKE, casme2, described, frames, sheets


def test_load_casme2_finds_the_clip(tmp_path):
    casme2(tmp_path)
    sample = load("casme2", tmp_path, MAKE).samples[0]
    assert described(sample) == ("casme2", "01", "EP02_01f", 41, 13, "12", "happiness", "positive")


def test_load_corrections_are_noted_and_optional(tmp_path):
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    rows = [[1 + i % 26, f"EP{i:02d}", 5, "/" if i == 29 else 8, 12, "4", "disgust"] for i in range(255)]
    sheets(tmp_path / "CASME2-coding.xlsx", Sheet1=[head, *rows])
    frames(tmp_path / "sub04/EP29", range(270, 300), "img{}.jpg")
    made = load("casme2", tmp_path, MAKE)
    assert any("Correction 29:apex: / -> 279" in note for note in made.notes)
    assert any("Correction 60:offset: 12 -> 91" in note for note in made.notes)
    (kept,) = (note for note in made.notes if note.startswith("Corrections that this sheet does not need"))
    assert kept.count(":apex (8)") == 20  # as the sheet of 2019, which has these apexes
    reasons = dict(made.skipped)
    assert len(reasons) == 255
    assert reasons["01/EP00"] == "its frames are missing"
    assert "279" in reasons["04/EP29"]  # 5, 279, 12: the correction was made
    without = load("casme2", tmp_path, Corrections(without=frozenset({"29:apex"})))
    assert [note[:20] for note in without.notes if note.startswith("Correction ")] == ["Correction 60:offset"]
    assert not [n for n in load("casme2", tmp_path, Corrections(apply=False)).notes if n.startswith("Correction")]
