"""4DME on a made-up release of its layout."""

from merau.trainers.data.prepare import load
from merau.trainers.data.releases.release import Corrections
from tests.trainers.data.releases.layouts import MAKE, described, fourdme, frames, one, sheets


def test_load_4dme_finds_the_clip(tmp_path):
    fourdme(tmp_path)
    sample = load("4dme", tmp_path, MAKE).samples[0]
    assert described(sample) == ("4dme", "s01", "clip_1", 13, 7, "AU12", "positive", "positive")


def test_load_4dme_exchanges_aus_of_two_rows(tmp_path):
    head = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs"]
    rows = [["s01", f"clip_{i}", "Positive", 0, 7, 12, f"AU{1 + i % 2}"] for i in range(150)]
    sheets(tmp_path / "4DME_Labelling_Micro_release v1.xlsx", Sheet1=[head, *rows])
    frames(tmp_path / "gray_micro/s01/clip_144", range(15), "{}.jpg")
    assert one(load("4dme", tmp_path, MAKE)).aus == "AU2"
    assert one(load("4dme", tmp_path, Corrections(without=frozenset({"swapped-aus"})))).aus == "AU1"


def test_load_4dme_tentative_aus_uncorrected(tmp_path):
    fourdme(tmp_path)
    assert one(load("4dme", tmp_path, Corrections(apply=False))).aus == "AU12+AU4(k)"
