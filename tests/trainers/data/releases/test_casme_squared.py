"""CAS(ME)^2 on a made-up release of its layout."""

from merau.trainers.data.prepare import load
from tests.trainers.data.releases.layouts import MAKE, casme_squared, described


def test_load_casme_squared_finds_the_clip(tmp_path):
    casme_squared(tmp_path)
    sample = load("casme^2", tmp_path, MAKE).samples[0]
    assert described(sample) == ("casme^2", "01", "anger1_1", 16, 15, "4", "negative", "negative")
