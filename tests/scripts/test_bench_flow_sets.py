"""The flow sets of bench_flow_sets, on a hand-made flow."""

import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.trainers.data import flow_set
from scripts import bench_flow_sets
from scripts.bench_flow_sets import Layout, cropped, no_strain, strain_after


@pytest.fixture
def no_errors(monkeypatch):
    for name in ("SHIFT_SD", "ZOOM_SD", "TURN_SD_DEG"):
        monkeypatch.setattr(bench_flow_sets, name, 0.0)


def field() -> np.ndarray:
    """(2, 180, 168) px: one bump that moves right and down, to the right of the square's middle and below it."""
    y, x = np.mgrid[:180, :168]
    bump = np.exp(-(((x - 20 - 80) / 6) ** 2) - ((y - 36 - 90) / 6) ** 2)
    return np.stack([2 * bump, bump]).astype(np.float32)


def peak(flow: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(flow[0].argmax(), flow[0].shape)
    return int(column), int(row)


def test_cropped_default_layout_is_the_inner_square(no_errors):
    flow = cropped(np.random.default_rng(0), field(), Layout())
    assert flow == pytest.approx(field()[:, *CropSpec().inner], abs=1e-5)


def test_cropped_layout_moves_and_stretches_flow(no_errors):
    flow = cropped(np.random.default_rng(0), field(), Layout(across=1.5, down=0.5, right=0.125, drop=-0.125))
    assert peak(flow) == (64 + 1.5 * 16 + 16, 64 + 0.5 * 26 - 16)
    assert (flow[0].max(), flow[1].max()) == pytest.approx((1.5 * 2, 0.5 * 1), rel=0.05)
    turned = cropped(np.random.default_rng(0), field(), Layout(turn_deg=90))
    assert peak(-turned) == (64 - 26, 64 + 16)
    assert turned[1].max() == pytest.approx(2, rel=0.05)
    assert turned[0].min() == pytest.approx(-1, rel=0.05)


def test_other_strains_change_only_the_strain(no_errors):
    flow = cropped(np.random.default_rng(0), field(), Layout())
    usual = flow_set.encode_flow(flow)
    for other in (no_strain(flow), strain_after(flow)):
        assert np.abs(other[..., 1:].astype(int) - usual[..., 1:]).max() <= 1
        assert np.abs(other[..., 0].astype(int) - usual[..., 0]).max() > 20
