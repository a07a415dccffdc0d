"""SMIC on made-up releases of its layout."""

import pytest

from merau.trainers.data.prepare import load
from tests.trainers.data.releases.layouts import MAKE, described, frames, one, smic


@pytest.mark.parametrize("camera", ["HS", "VIS", "NIR"])
def test_load_smic_finds_the_clip(camera, tmp_path):
    smic(camera)(tmp_path)
    name = f"smic-{camera.lower()}"
    sample = load(name, tmp_path, MAKE).samples[0]
    assert described(sample) == (name, "s03", "s3_po_05", 20, 9, "", "positive", "positive")


def test_load_smic_padded_subject_is_same_clip(tmp_path):
    root = tmp_path / "SMIC-all"  # in the name of the folder itself, "SMIC-" does not stand for SMIC-E's long clips
    smic("HS")(root)
    frames(root / "SMIC_all_cropped/HS/s3/micro/positive/s03_po_05", range(17581039, 17581059), "reg_image{}.bmp")
    assert one(load("smic-hs", root, MAKE)).subject == "s03"
