from importlib.resources import files
from itertools import cycle
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
from tests.support import TRUNK_BATCHES, trunk_batch

FP32 = Path(str(files("merau.engine"))) / "bundles" / "default" / "trunk.fp32.onnx"


@pytest.mark.parametrize("method", METHODS)
def test_int8_keeps_the_embedding(method, tmp_path):
    report = quantize(FP32, tmp_path / "int8.onnx", TRUNK_BATCHES, method=method, held_out=trunk_batch(8))
    assert not any(layer.kept for layer in report.layers)
    exact, rounded = (run_trunk(onnx.load(path), trunk_batch(9)) for path in (FP32, tmp_path / "int8.onnx"))
    assert report.cost.cosine > 0.99
    assert quantization_error(exact, rounded).cosine == pytest.approx(report.cost.cosine, abs=0.005)


def test_fp8_keeps_the_embedding(tmp_path):
    report = quantize(FP32, tmp_path / "fp8.onnx", TRUNK_BATCHES, precision="fp8", held_out=trunk_batch(8))
    assert report.cost.cosine > 0.99
    assert not any(layer.kept for layer in report.layers)
    assert "FLOAT8E4M3FN" in onnx.printer.to_text(onnx.load(tmp_path / "fp8.onnx")).upper()


def test_weights_are_symmetric_per_channel_and_biases_stay(tmp_path):
    quantize(FP32, tmp_path / "int8.onnx", TRUNK_BATCHES)
    before, after = onnx.load(FP32), onnx.load(tmp_path / "int8.onnx")
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in after.graph.initializer}
    for node in quantizable_layers(before):
        weights, scale = constants[f"{node.input[1]}_q"], constants[f"{node.input[1]}_scale"]
        assert weights.dtype == np.int8
        assert abs(weights).max() == 127
        assert len(scale) in weights.shape
        assert all(constants[bias].dtype == np.float32 for bias in node.input[2:])
    assert not any(constants[name].any() for name in constants if name.endswith("_zero"))


def test_sensitive_layers_stay_fp32(tmp_path):
    free = quantize(FP32, tmp_path / "free.onnx", TRUNK_BATCHES)
    strict = quantize(
        FP32, tmp_path / "strict.onnx", TRUNK_BATCHES, limits=AccuracyGate(min_cosine=1 - (1 - free.cost.cosine) / 2)
    )
    kept = {layer.name: layer.error for layer in strict.layers if layer.kept}
    assert kept
    assert min(kept.values()) >= max(layer.error for layer in strict.layers if not layer.kept)
    assert strict.cost.cosine > free.cost.cosine
    assert "kept in FP32" in sensitivity_svg(strict)


def test_too_large_drop_of_a_score_is_refused(tmp_path):
    scores = cycle([0.9, 0.8])
    with pytest.raises(UserError, match="ship FP32 instead"):
        quantize(FP32, tmp_path / "int8.onnx", TRUNK_BATCHES, score=lambda *seen: {"uf1": next(scores)})
    assert not (tmp_path / "int8.onnx").exists()


@pytest.mark.parametrize("method", ["entropy", "mse", "percentile"])
def test_single_outlier_is_cut_off(method):
    counts = np.zeros(2048)
    counts[:256] = 1e5 * np.exp(-np.linspace(0, 4, 256))
    counts[-1] = 1
    assert best_limit(counts, method, "int8") < 0.3


def test_unknown_methods_and_precisions_are_refused(tmp_path):
    with pytest.raises(UserError, match="'median': choose one of minmax, entropy"):
        quantize(FP32, tmp_path / "int8.onnx", TRUNK_BATCHES, method="median")
    with pytest.raises(UserError, match="'int4': choose one of int8, fp8"):
        quantize(FP32, tmp_path / "int4.onnx", TRUNK_BATCHES, precision="int4")
