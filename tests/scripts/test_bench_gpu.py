"""bench_gpu returns all its figures, on a device or on the stub driver; their values are not tested."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from merau.engine import bundle as bundles
from merau.engine.cuda.farneback import FarnebackSettings
from merau.trainers.learn import synthetic
from scripts import bench_gpu


def small_trunk() -> bytes:
    """A convolution of 2 to 4 channels at 16 x 16 places, then 10 outputs of its 1024."""
    weights = {"w": (4, 2, 5, 5), "m": (1024, 10)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["flow", "w"], ["c"], strides=[2, 2], pads=[2, 2, 2, 2]),
            helper.make_node("Flatten", ["c"], ["f"]),
            helper.make_node("MatMul", ["f", "m"], ["embedding"]),
        ],
        "trunk",
        [helper.make_tensor_value_info("flow", TensorProto.FLOAT, ("batch", 2, 32, 32))],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ("batch", 10))],
        [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()],
    )
    return helper.make_model(graph).SerializeToString()


def test_engine_work_adds_up_the_layers():
    model = small_trunk()
    (halves, each), (bytes_, _) = (bench_gpu.engine_work(model, precision) for precision in ("fp16", "int8"))
    assert halves.bytes == 2 * bytes_.bytes == 2 * (4 * 2 * 25 + 1024 * 10)
    assert each.tensor == 2 * (4 * 2 * 25 * 16**2 + 1024 * 10)
    assert each.bytes == 4 * (2 * 32**2 + 10)
    assert bench_gpu.counted(each) == bench_gpu.counted(bench_gpu.engine_work(model, "fp8")[1])


def test_accuracy_covers_every_precision(monkeypatch):
    monkeypatch.setattr(synthetic, "CALIBRATION_SAMPLES", 100)
    scores = bench_gpu.accuracy(bundles.load(bundles.SHIPPED / "source"))
    assert 1 >= scores["fp16"]["cosine"] > scores["int8"]["cosine"] > scores["fp8"]["cosine"] > 0.98
    exact = scores.pop("fp32")
    assert exact["uf1"] > 0.6
    for each in scores.values():
        assert all(abs(each[name] - exact[name]) < 0.01 for name in ("uf1", "au_auc"))


@pytest.mark.gpu
def test_gpu_ms_returns_every_figure(monkeypatch):
    for name, value in {"WARM_UP": 0, "REPEATS": 1, "PAIRS": (2,), "CAMERAS": 2}.items():
        monkeypatch.setattr(bench_gpu, name, value)
    figures = bench_gpu.gpu_ms(bundles.load())
    parts = [figures[part]["2 pairs"] for part in ("flow", "spotter's flow", "trunk's input")]
    for precision in ("fp16", "int8"):
        parts += [figures["engine"][precision]["2 pairs"], figures["predict"][precision]]
        assert figures["pairs/s"][f"{precision}, 2 cameras"] > 0
    for part in parts:
        assert min(part[each] for each in ("measured", "roofline", "bytes", "operations")) > 0


@pytest.mark.gpu
def test_differences_are_small(monkeypatch):
    monkeypatch.setattr(bench_gpu, "FLOW_CASES", {"small": ((37, 33), FarnebackSettings())})
    seen = bench_gpu.differences()
    assert seen["flow, px"]["small: 37x33"]["mean"] < 0.02
    assert seen["spotter's flow, px"]["180x168"]["median"] < 1e-4
    assert all(max(each.values()) < 1e-3 for each in seen["trunk's input"].values())
