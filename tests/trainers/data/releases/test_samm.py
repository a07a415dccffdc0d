"""SAMM on a made-up release of its layout."""

from merau.trainers.data.prepare import load
from tests.trainers.data.releases.layouts import MAKE, described, frames, one, samm, sheets


def test_load_samm_finds_the_clip(tmp_path):
    samm(tmp_path)
    sample = load("samm", tmp_path, MAKE).samples[0]
    assert described(sample) == ("samm", "006", "006_1_2", 71, 26, "4+7", "anger", "negative")


def test_load_samm_notes_undecided_units(tmp_path):
    head = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Action Units", "Estimated Emotion"]
    rows = [[6, f"006_{i}", 1, 2, 3, "R12 or R14" if i in (15, 64) else "4", "Other"] for i in range(159)]
    sheets(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", MICRO_ONLY=[["preamble"]] * 13 + [head, *rows])
    frames(tmp_path / "006/006_15", (1, 2, 3), "006_{}.jpg")
    left = load("samm", tmp_path, MAKE)
    assert one(left).aus == "R12 or R14"
    assert any("count neither as coded nor as absent, in 2" in n for n in left.notes)
