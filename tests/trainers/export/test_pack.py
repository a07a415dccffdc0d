"""Other networks as bundles."""

import numpy as np
import onnx.parser
import pytest
import torch

from merau.engine.errors import UserError
from merau.engine.flow import strain
from merau.engine.recognizer import Recognizer
from merau.trainers.baselines.network import Training
from merau.trainers.cli import main
from merau.trainers.export.pack import pack, pattern_images
from merau.trainers.learn import network
from merau.trainers.learn.network import train_bundle

MODEL = """<ir_version: 9, opset_import: ["" : 17]>
halves (float[N, 2, {side}, {side}] x) => (float[N, 2] logits, float[N, 1] unit) <float[2, 2] both = {{9, -9, -9, 9}},
    float[2, 1] first = {{1, 0}}> {{
    length = ReduceL2 <axes = [1]> (x)
    rows = AveragePool <kernel_shape = [{half}, {side}], strides = [{half}, {side}]> (length)
    flat = Flatten (rows)
    logits = MatMul (flat, both)
    unit = MatMul (flat, first)
}}"""


@pytest.fixture
def crops():
    """Two crops between which the lower half of the face moves."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (180, 172)).astype(np.uint8)
    onset, apex = texture[:, 2:170].copy(), texture[:, 2:170].copy()
    apex[110:] = texture[110:, 1:169]
    return onset, apex


@pytest.mark.parametrize("side", [28, 32])
@pytest.mark.parametrize("aus", [[], ["12"]])
def test_packed_model_runs_live(tmp_path, crops, side, aus):
    onnx.save(onnx.parser.parse_model(MODEL.format(side=side, half=side // 2)), tmp_path / "mine.onnx")
    arguments = ["pack", str(tmp_path / "mine.onnx"), "--classes", "upper", "lower", "--out", str(tmp_path / "b")]
    assert main([*arguments, *(["--aus", *aus] if aus else [])]) == 0
    found = Recognizer.load(tmp_path / "b", device="cpu").predict(*crops)
    assert found.label == "lower"
    assert list(found.aus) == aus


PAIR_MODEL = """<ir_version: 9, opset_import: ["" : 17]>
changes (float[N, 2, 48, 48] x) => (float[N, 2] logits) <int64[2] halves = {{1, 1}}, float[1, 2] both = {{9, -9}}> {{
    onset, apex = Split <axis = 1> (x, halves)
    change = Sub (apex, onset)
    mean = ReduceMean <axes = [1, 2, 3], keepdims = 1> (change)
    column = Flatten (mean)
    logits = MatMul (column, both)
}}"""


def test_packed_model_of_pairs_runs_live(tmp_path, crops, capsys):
    onnx.save(onnx.parser.parse_model(PAIR_MODEL.replace("{{", "{").replace("}}", "}")), tmp_path / "mine.onnx")
    arguments = ["pack", str(tmp_path / "mine.onnx"), "--classes", "brighter", "darker", "--out", str(tmp_path / "b")]
    assert main(arguments) == 1
    assert "The model takes x ['N', 2, 48, 48]" in capsys.readouterr().err
    assert main([*arguments, "--input", "pair"]) == 0
    recognizer = Recognizer.load(tmp_path / "b")
    onset = crops[0] // 2
    assert recognizer.predict(onset, onset + 20).label == "brighter"
    assert recognizer.predict(onset + 20, onset).label == "darker"
    packed = str(tmp_path / "b")
    for command in (["evaluate", "--bundle", packed], ["bench", "truth", packed], ["quantize", packed, "--data", "x"]):
        assert main(command) == 1
        assert "Bundle b sees frames, and here there is flow alone" in capsys.readouterr().err
    with pytest.raises(UserError, match="runs on the CPU alone"):
        Recognizer.load(tmp_path / "b", device="cuda")


def test_pack_other_models_are_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(UserError, match="is no ONNX model that can be read"):
        pack(tmp_path / "text.onnx", tmp_path / "b", ["a", "b"])
    model = onnx.parser.parse_model(MODEL.format(side=16, half=8))
    onnx.save(model, tmp_path / "small.onnx")
    with pytest.raises(UserError, match=r"The model takes x \['N', 2, 16, 16\]: expected one input"):
        pack(tmp_path / "small.onnx", tmp_path / "b", ["a", "b"])
    onnx.save(onnx.parser.parse_model(MODEL.format(side=32, half=16)), tmp_path / "mine.onnx")
    with pytest.raises(UserError, match="For three samples the model gives"):
        pack(tmp_path / "mine.onnx", tmp_path / "b", ["a", "b", "c"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    with pytest.raises(UserError, match="is not empty"):
        pack(tmp_path / "mine.onnx", tmp_path / "full", ["a", "b"])


@pytest.mark.parametrize("name", ["ststnet", "liu"])
def test_network_of_another_paper_becomes_a_bundle(tmp_path, crops, monkeypatch, name):
    monkeypatch.setattr(network, "SAMPLES", 120)
    monkeypatch.setattr(network, "TRAINING", Training(epochs=1, batch=64))
    train_bundle(name, tmp_path / name)
    recognizer = Recognizer.load(tmp_path / name, device="cpu")
    found = recognizer.predict(*crops)
    assert set(found.probabilities) == {"negative", "positive", "surprise"}
    assert recognizer.bundle.card["trained_on"]["network"] == name


def test_pattern_images_have_the_strain_of_the_engine():
    pattern = torch.randn(2, 2, 28, 28).repeat_interleave(2, 0)
    grown = torch.nn.functional.interpolate(pattern, (32, 32), mode="bilinear")
    small = torch.nn.functional.interpolate(grown, (28, 28), mode="bilinear")
    expected = strain(small[0].numpy())
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    assert np.allclose(pattern_images(grown)[0, 2], expected, atol=1e-4)
