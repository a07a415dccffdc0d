"""DFME on a made-up release of its layout."""

from merau.trainers.data.prepare import load
from tests.trainers.data.releases.layouts import MAKE, described, dfme


def test_load_dfme_finds_the_clip(tmp_path):
    dfme(tmp_path)
    sample = load("dfme", tmp_path, MAKE).samples[0]
    assert described(sample) == ("dfme", "sub0003", "sub0003_01", 60, 29, "L12", "happiness", "positive")
