"""SAMM Long Videos on a made-up release of its layout."""

from merau.trainers.data.prepare import load
from tests.trainers.data.releases.layouts import MAKE, described, samm_lv


def test_load_samm_lv_finds_the_clip(tmp_path):
    samm_lv(tmp_path)
    sample = load("samm-lv", tmp_path, MAKE).samples[0]
    assert described(sample) == ("samm-lv", "006", "006_1_2", 71, 35, "4+7", "anger", "negative")


def test_load_samm_lv_short_clip_is_skipped_apex_noted(tmp_path):
    samm_lv(tmp_path)
    release = load("samm-lv", tmp_path, MAKE)
    assert [name for name, _ in release.skipped] == ["006/006_1_3"]  # its frames end earlier
    assert any("no apex annotated" in note for note in release.notes)
