import json
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.preprocess import GRID, downsample, split_pattern_and_magnitude
from merau.engine.recognizer import NO_EXPRESSION_RANGE, Recognizer

SHIPPED = Path(str(files("merau.engine"))) / "bundles" / "default"


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load()


def skin(seed: int) -> np.ndarray:
    """A textured grey full crop (180, 168) uint8, no face."""
    noise = np.random.default_rng(seed).normal(0, 1, CropSpec().full)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def test_a_crop_against_itself_is_no_expression(recognizer):
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


def test_pattern_and_magnitude_are_apart():
    flow = np.random.default_rng(0).normal(0, 0.5, (1, 2, GRID, GRID)).astype(np.float32)
    pattern, magnitude = split_pattern_and_magnitude(flow)
    twice, more = split_pattern_and_magnitude(2 * flow)
    assert np.allclose(pattern, twice, atol=1e-5)
    assert np.allclose(more, magnitude + 1, atol=1e-5)
    assert np.allclose(split_pattern_and_magnitude(0 * flow)[0], 0)


def test_shrinking_keeps_pixels():
    assert np.allclose(downsample(np.full((2, 128, 128), 1.5, np.float32)), 1.5)


def test_a_crop_of_another_size_is_refused(recognizer):
    with pytest.raises(UserError, match=r"apex crop is \(128, 128\)"):
        recognizer.predict(skin(0), skin(0)[:128, :128])


def test_the_difference_between_bundle_and_pipeline_is_spelled_out(tmp_path):
    with pytest.raises(UserError, match="crop.side_px is 20 in the bundle and 24 in the pipeline"):
        Recognizer.load(spec=CropSpec(side_px=24))
    copy = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    card = json.loads((copy / "model.json").read_text())
    card["input"]["flow"] = "tvl1"
    (copy / "model.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="'tvl1'; this version has dis"):
        Recognizer.load(copy)


def test_a_bundle_that_tells_no_range_of_doubt_gets_the_usual_one(recognizer):
    bundle = recognizer.bundle
    told = {name: value for name, value in bundle.card["calibration"].items() if name not in NO_EXPRESSION_RANGE}
    assert Recognizer(replace(bundle, card=bundle.card | {"calibration": told})).no_expression_range == (0.1, 0.8)


def test_unknown_precision_and_device_are_refused():
    with pytest.raises(UserError, match="Precision is 'int4'"):
        Recognizer.load(precision="int4")
    with pytest.raises(UserError, match="Device is 'tpu': choose one of auto, cpu, cuda"):
        Recognizer.load(device="tpu")
