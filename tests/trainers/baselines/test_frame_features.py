"""Hand-crafted features of frames."""

import numpy as np

from merau.trainers.baselines.frame_features import dynamic_image, gradient_histograms, lbp_sip


def test_lbp_sip_flat_clip_has_one_pattern():
    histograms = lbp_sip(np.full((4, 12, 12), 9, np.uint8), 2)
    assert histograms.sum() == 2 * 10 * 10
    assert histograms[..., 63].sum() == histograms.sum()


def test_higo_counts_every_voxel_and_hog_weighs_them():
    clip = np.random.default_rng(0).integers(0, 255, (5, 20, 20)).astype(np.uint8)
    assert gradient_histograms(clip, weighted=False).sum() == 3 * 5 * 20 * 20
    brighter = gradient_histograms((clip // 2).astype(np.uint8), weighted=True).sum()
    assert 0.4 < brighter / gradient_histograms(clip, weighted=True).sum() < 0.6


def test_dynamic_image_of_a_still_clip_is_zero():
    assert np.allclose(dynamic_image(np.full((6, 4, 4), 7, np.uint8)), 0)
    assert (dynamic_image(np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)) > 0).all()
