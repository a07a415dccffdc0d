"""CASME on a made-up release of its layout."""

from merau.trainers.data.prepare import load
from tests.trainers.data.releases.layouts import MAKE, casme, described, one


def test_load_casme_finds_the_clip(tmp_path):
    casme(tmp_path)
    sample = load("casme", tmp_path, MAKE).samples[0]
    assert described(sample) == ("casme", "01", "EP01_12", 7, 3, "4+7", "tense", None)


def test_load_casme_tells_subjects_apart(tmp_path):
    casme(tmp_path)
    assert "sub01" in str(one(load("casme", tmp_path, MAKE)).frames[0])
