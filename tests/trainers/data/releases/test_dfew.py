"""DFEW on a made-up release of its layout."""

from merau.trainers.data.prepare import load
from tests.trainers.data.releases.layouts import MAKE, described, dfew


def test_load_dfew_finds_the_clip(tmp_path):
    dfew(tmp_path)
    sample = load("dfew", tmp_path, MAKE).samples[0]
    assert described(sample) == ("dfew", "00001", "00001", 16, 7, "", "happiness", "positive")
