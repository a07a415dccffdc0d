from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from calib.quantize import gate, quantize
from engine.errors import UserError

FP32 = Path(str(files("engine"))) / "bundles" / "default" / "trunk.fp32.onnx"


def batch(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    flow = rng.normal(0, 1, (16, 2, 32, 32)).astype(np.float32)
    return {"flow": flow, "magnitude": rng.normal(0, 1, (16, 1)).astype(np.float32)}


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_int8_keeps_the_embedding(method, tmp_path):
    quantize(FP32, tmp_path / "int8.onnx", [batch(i) for i in range(4)], method=method)
    cosine = gate(FP32.read_bytes(), (tmp_path / "int8.onnx").read_bytes(), batch(9))
    assert cosine > 0.99


def test_the_gate_stops_what_lost_its_accuracy(tmp_path):
    tiny = {name: 1e-3 * value for name, value in batch(0).items()}
    quantize(FP32, tmp_path / "int8.onnx", [tiny])  # ranges a thousand times too small
    with pytest.raises(UserError, match="ship FP32 instead"):
        gate(FP32.read_bytes(), (tmp_path / "int8.onnx").read_bytes(), batch(9))


def test_an_unknown_calibration_method_is_refused(tmp_path):
    with pytest.raises(UserError, match="'entropy': choose one of minmax, percentile"):
        quantize(FP32, tmp_path / "int8.onnx", [batch(0)], method="entropy")
