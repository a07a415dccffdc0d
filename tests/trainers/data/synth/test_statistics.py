"""Statistics of flow on fields whose values are known."""

from pathlib import Path

import numpy as np
import pytest

from merau.trainers.data.synth.action_units import MOVES
from merau.trainers.data.synth.statistics import EDGES, au_cosines, flow_statistics

AXIS = (np.arange(28) + 0.5) / 28


def test_statistics_of_noise_and_of_a_plane():
    noise = flow_statistics(np.random.default_rng(0).normal(0, 1, (40, 2, 28, 28)))
    for channel in noise.values():
        assert channel["kurtosis"] == pytest.approx(3, abs=0.1)
        assert channel["symmetric"] == pytest.approx(0.5, abs=0.02)
        assert channel["top"] == pytest.approx(9 / 28, abs=0.02)
        assert channel["head_share"] < 0.02
        assert sum(channel["bands"]) == pytest.approx(1)
        assert len(channel["bands"]) == len(EDGES) - 1
    plane = np.broadcast_to(AXIS, (1, 2, 28, 28))
    tilted = flow_statistics(plane)
    assert tilted["u"]["affine_share"] == pytest.approx(1, abs=1e-3)
    assert tilted["u"]["symmetric"] == pytest.approx(1, abs=0.01)  # outward on both sides
    assert tilted["v"]["symmetric"] == pytest.approx(0, abs=0.01)
    assert tilted["u"]["beyond_8"] < 0.01


def test_au_cosines_of_equal_and_opposite_fields(tmp_path: Path):
    rng = np.random.default_rng(0)
    fields = rng.normal(0, 1, (len(MOVES), 2, 28, 28))
    centred = fields - np.median(fields, axis=(2, 3), keepdims=True)
    real = np.stack([centred[MOVES.index(1)], -centred[MOVES.index(12)]])
    np.savez(tmp_path / "real.npz", au=[1, 12], samples=[9, 4], field=real)
    cosines = au_cosines(fields, tmp_path / "real.npz")
    assert cosines["1"] == pytest.approx(1)
    assert cosines["12"] == pytest.approx(-1)
    assert cosines["mean"] == pytest.approx(0.2)
