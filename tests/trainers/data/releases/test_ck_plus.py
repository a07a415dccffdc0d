"""CK+ on a made-up release of its layout."""

from merau.trainers.data.prepare import load
from tests.trainers.data.releases.layouts import MAKE, ck_plus, described


def test_load_ck_plus_finds_the_clip(tmp_path):
    ck_plus(tmp_path)
    sample = load("ck+", tmp_path, MAKE).samples[0]
    assert described(sample) == ("ck+", "S011", "001", 16, 15, "1+2", "surprise", "surprise")
