import json
import shutil
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.few_shot import fit_few_shot
from merau.engine.recognizer import Recognizer
from tests.support import clustered_samples

SHIPPED = Path(str(files("merau.engine"))) / "bundles" / "default"


def skin(seed: int) -> np.ndarray:
    """A textured grey full crop (180, 168) uint8, no face."""
    noise = np.random.default_rng(seed).normal(0, 1, CropSpec().full)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def test_spotted_no_expression_is_uncertain_without_few_shot_head(recognizer):
    still = skin(0)
    assert recognizer.predict(still, still, spotted=True).uncertain
    samples = clustered_samples(recognizer, ("no expression", "tense"), 1)
    none = recognizer.predict(still, still).as_sample("no expression")
    recognizer.use_head(fit_few_shot([none, *samples[1:]], recognizer.bundle))
    prediction = recognizer.predict(still, still, spotted=True)
    recognizer.use_head(None)
    assert prediction.label == "no expression"
    assert not prediction.uncertain


def test_identical_crops_show_no_expression(recognizer):
    prediction = recognizer.predict(skin(0), skin(0))
    assert prediction.label == "no expression"
    assert not prediction.uncertain
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert list(prediction.aus) == recognizer.bundle.card["aus"]
    field = recognizer.facial_flow(skin(0), skin(0))
    assert field.shape == (2, 128, 128)
    assert field.dtype == np.float32
    assert prediction.embedding.ndim == 1
    assert prediction.embedding.dtype == np.float32


def test_int8_agrees_with_fp32(recognizer):
    exact = Recognizer.load(precision="fp32")
    for seed in range(3):
        onset, apex = skin(seed), np.roll(skin(seed), 2, axis=0)
        a, b = (r.predict(onset, apex).probabilities for r in (recognizer, exact))
        assert max(abs(a[name] - b[name]) for name in a) < 0.1


def test_crop_of_another_size_is_refused(recognizer):
    with pytest.raises(UserError, match=r"apex crop is \(128, 128\)"):
        recognizer.predict(skin(0), skin(0)[:128, :128])


def test_differing_input_is_named(tmp_path):
    with pytest.raises(UserError, match="crop.side_px is 20 in the bundle and 24 in the pipeline"):
        Recognizer.load(spec=CropSpec(side_px=24))
    copy = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    card = json.loads((copy / "model.json").read_text())
    card["input"]["flow"] = ["tvl1"]
    (copy / "model.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="'tvl1'; this version has dis"):
        Recognizer.load(copy)


def test_unknown_precision_and_device_are_refused():
    with pytest.raises(UserError, match="Precision is 'int4'"):
        Recognizer.load(precision="int4")
    with pytest.raises(UserError, match="Device is 'tpu': choose one of auto, cpu, cuda"):
        Recognizer.load(device="tpu")
