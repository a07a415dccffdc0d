"""That what needs a GPU in bench_gpu comes out, on a device or on the stub driver: not how much it is."""

import pytest

from engine import bundle as bundles
from scripts import bench_gpu


@pytest.mark.gpu
def test_every_figure_comes_out(monkeypatch):
    for name, value in {"WARMING": 0, "REPEATS": 1, "PAIRS": (2,), "CAMERAS": 2}.items():
        monkeypatch.setattr(bench_gpu, name, value)
    figures = bench_gpu.gpu_ms(bundles.load(bundles.SHIPPED / "farneback"))
    assert figures["flow"]["2 pairs"].keys() == {"measured", "roofline"}
    assert figures["trunk's input"].keys() == figures["spotter's flow"].keys() == {"2 pairs"}
    for precision in ("fp16", "int8"):
        assert figures["engine"][precision].keys() == {"2 pairs"}
        assert figures["predict"][precision] > 0 and figures["pairs/s"][f"{precision}, 2 cameras"] > 0
