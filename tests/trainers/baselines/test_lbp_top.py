"""The histograms of LBP-TOP."""

import numpy as np

from merau.trainers.baselines.lbp_top import INDEX, UNIFORM, lbp_top, make_model


def test_lbp_top_flat_clip_by_hand():
    assert INDEX.max() == UNIFORM - 1
    assert len(np.unique(INDEX)) == UNIFORM
    histograms = lbp_top(np.full((3, 10, 10), 7, np.uint8), 2, INDEX)
    assert histograms.shape == (2, 2, 3, UNIFORM)
    assert histograms[..., INDEX[255]].sum() == histograms.sum() == 3 * 8 * 8  # every neighbour is as bright


def test_lbp_top_learns_one_database_for_the_other(frames_task, share_right):
    assert share_right(make_model(frames_task)) > 0.8
