"""TIM."""

import numpy as np

from merau.engine.temporal_interpolation import interpolate_clip


def test_interpolate_clip_keeps_its_frames_at_their_times():
    clip = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    assert np.allclose(interpolate_clip(clip, 5), clip, atol=1e-4)
    longer = interpolate_clip(clip, 9)
    assert longer.shape == (9, 4, 3)
    assert np.allclose(longer[::2], clip, atol=1e-4)


def test_interpolate_clip_lies_between_neighbours_of_a_smooth_clip():
    rising = np.arange(6, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    assert np.allclose(interpolate_clip(rising, 11)[:, 0, 0], np.arange(0, 5.5, 0.5), atol=0.35)


def test_interpolate_clip_single_frame_is_repeated():
    assert interpolate_clip(np.ones((1, 2, 2), np.uint8), 3).shape == (3, 2, 2)
