"""Histograms of the direction of flow."""

import numpy as np

from merau.trainers.baselines.oriented_flow import bi_woof, fhofo, hoof, in_bins, mdmo


def uniform_flow(across: float, down: float) -> np.ndarray:
    flow = np.empty((1, 2, 32, 32))
    flow[:, 0], flow[:, 1] = across, down
    return flow


def test_hoof_mirrored_flow_has_the_same_histogram():
    assert np.allclose(hoof(uniform_flow(1, 0.5)), hoof(uniform_flow(-1, 0.5)))
    assert not np.allclose(hoof(uniform_flow(1, 0.5)), hoof(uniform_flow(1, -0.5)))


def test_in_bins_each_direction_is_in_one():
    assert in_bins(np.linspace(0, 6.2, 49).reshape(1, 7, 7), 8).sum(1).tolist() == np.ones((1, 7, 7)).tolist()


def test_fhofo_ignores_length_above_the_median():
    rng = np.random.default_rng(0)
    flow = rng.normal(size=(1, 2, 32, 32))
    assert np.allclose(fhofo(flow), fhofo(3 * flow))


def test_bi_woof_weighs_blocks_by_strain():
    strain = np.zeros((1, 28, 28))
    strain[:, :14] = 1
    weighted = bi_woof(uniform_flow(1, 0), strain)
    assert weighted[0, 0].sum() > 0
    assert weighted[0, 4].sum() == 0


def test_mdmo_main_direction_outvotes_the_others():
    flow = uniform_flow(1, 0)
    flow[:, :, ::3] = np.array([0, -5.0])[:, None, None]
    parts = mdmo(flow).reshape(36, 3)
    assert np.allclose(parts[:, 1], 0.9)  # cosine of the direction
