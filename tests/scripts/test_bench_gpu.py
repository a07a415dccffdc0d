"""bench_gpu returns all its figures, on a device or on the stub driver; their values are not tested."""

import pytest

from merau.engine import bundle as bundles
from merau.engine.cuda.farneback import FarnebackSettings
from scripts import bench_gpu


def test_engine_work_adds_up_the_layers():
    model = bundles.load().content[bundles.TRUNKS["fp32"]]
    (halves, each), (bytes_, _) = (bench_gpu.engine_work(model, precision) for precision in ("fp16", "int8"))
    assert halves.bytes == 2 * bytes_.bytes == pytest.approx(len(model) / 2, rel=0.1)  # of a file of float32
    convolutions = 2 * (24 * 2 * 25 * 16**2 + 32 * 24 * 9 * 16**2 + 48 * 32 * 9 * 8**2)  # in both of its parts
    assert 2 * convolutions < each.tensor < 2.1 * convolutions
    assert bench_gpu.counted(each) == bench_gpu.counted(bench_gpu.engine_work(model, "fp8")[1])


def test_accuracy_covers_every_precision(monkeypatch):
    monkeypatch.setattr(bench_gpu, "DRAWN", 200)
    scores = bench_gpu.accuracy(bundles.load(bundles.SHIPPED / "source"))
    assert 1 >= scores["fp16"]["cosine"] > scores["int8"]["cosine"] > scores["fp8"]["cosine"] > 0.98
    assert all(each["uf1"] > 0.6 and each["au_auc"] > 0.9 for each in scores.values())


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
