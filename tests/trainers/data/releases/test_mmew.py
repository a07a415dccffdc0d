"""MMEW on a made-up release of its layout."""

from merau.trainers.data.prepare import load
from merau.trainers.data.releases.release import Corrections
from tests.trainers.data.releases.layouts import MAKE, described, frames, mmew, one, sheets


def test_load_mmew_finds_the_clip(tmp_path):
    mmew(tmp_path)
    sample = load("mmew", tmp_path, MAKE).samples[0]
    assert described(sample) == ("mmew", "03", "S03-01-002", 20, 12, "12", "happiness", "positive")


def test_load_mmew_reading_of_others(tmp_path):
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    rows = [[1, f"S01-07-{i:03d}", 1, 9, 9, "17", "others"] for i in range(3)]
    sheets(tmp_path / "MMEW_Micro_Exp.xlsx", Sheet1=[head, *rows])
    frames(tmp_path / "others/S01-07-001", range(1, 10), "{}.jpg")
    sample = one(load("mmew", tmp_path, MAKE))
    assert (sample.emotion, sample.label) == ("others", None)
    read = load("mmew", tmp_path, Corrections(readings=frozenset({"others-as-repression"})))
    assert one(read).label == "negative"
    assert any("to 3 clips" in note for note in read.notes)
