from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import pytest

from merau.calib.quantize import (
    METHODS,
    AccuracyGate,
    best_limit,
    quantizable_layers,
    quantization_error,
    quantize,
    run_trunk,
    sensitivity_svg,
)
from merau.engine.errors import UserError

FP32 = Path(str(files("merau.engine"))) / "bundles" / "default" / "trunk.fp32.onnx"


def batch(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    flow = rng.normal(0, 1, (16, 2, 32, 32)).astype(np.float32)
    return {"flow": flow, "magnitude": rng.normal(0, 1, (16, 1)).astype(np.float32)}


BATCHES = [batch(i) for i in range(4)]


@pytest.mark.parametrize("method", METHODS)
def test_int8_keeps_the_embedding(method, tmp_path):
    report = quantize(FP32, tmp_path / "int8.onnx", BATCHES, method=method, held_out=batch(8))
    assert not any(layer.kept for layer in report.layers)
    exact, rounded = (run_trunk(onnx.load(path), batch(9)) for path in (FP32, tmp_path / "int8.onnx"))
    assert report.cost.cosine > 0.99
    assert quantization_error(exact, rounded).cosine == pytest.approx(report.cost.cosine, abs=0.005)


def test_fp8_keeps_the_embedding(tmp_path):
    report = quantize(FP32, tmp_path / "fp8.onnx", BATCHES, precision="fp8", held_out=batch(8))
    assert report.cost.cosine > 0.99
    assert not any(layer.kept for layer in report.layers)
    assert "FLOAT8E4M3FN" in onnx.printer.to_text(onnx.load(tmp_path / "fp8.onnx")).upper()


def test_weights_are_symmetric_per_channel_and_biases_stay(tmp_path):
    quantize(FP32, tmp_path / "int8.onnx", BATCHES)
    before, after = onnx.load(FP32), onnx.load(tmp_path / "int8.onnx")
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in after.graph.initializer}
    for node in quantizable_layers(before):
        weights, scale = constants[f"{node.input[1]}_q"], constants[f"{node.input[1]}_scale"]
        assert weights.dtype == np.int8
        assert abs(weights).max() == 127
        assert len(scale) in weights.shape
        assert all(constants[bias].dtype == np.float32 for bias in node.input[2:])
    assert not any(constants[name].any() for name in constants if name.endswith("_zero"))


def test_sensitive_layers_stay_in_fp32_until_the_gate_is_passed(tmp_path):
    free = quantize(FP32, tmp_path / "free.onnx", BATCHES)
    strict = quantize(
        FP32, tmp_path / "strict.onnx", BATCHES, limits=AccuracyGate(min_cosine=1 - (1 - free.cost.cosine) / 2)
    )
    kept = {layer.name: layer.error for layer in strict.layers if layer.kept}
    assert kept
    assert min(kept.values()) >= max(layer.error for layer in strict.layers if not layer.kept)
    assert strict.cost.cosine > free.cost.cosine
    assert "kept in FP32" in sensitivity_svg(strict)


def test_a_score_that_drops_too_far_is_refused(tmp_path):
    scores = iter([0.9, 0.8] * 20)
    with pytest.raises(UserError, match="ship FP32 instead"):
        quantize(FP32, tmp_path / "int8.onnx", BATCHES, score=lambda *seen: {"uf1": next(scores)})
    assert not (tmp_path / "int8.onnx").exists()


@pytest.mark.parametrize("method", ["entropy", "mse", "percentile"])
def test_a_lonely_outlier_is_cut_off(method):
    counts = np.zeros(2048)
    counts[:256] = 1e5 * np.exp(-np.linspace(0, 4, 256))
    counts[-1] = 1
    assert best_limit(counts, method, "int8") < 0.3


def test_unknown_methods_and_precisions_are_refused(tmp_path):
    with pytest.raises(UserError, match="'median': choose one of minmax, entropy"):
        quantize(FP32, tmp_path / "int8.onnx", BATCHES, method="median")
    with pytest.raises(UserError, match="'int4': choose one of int8, fp8"):
        quantize(FP32, tmp_path / "int4.onnx", BATCHES, precision="int4")
