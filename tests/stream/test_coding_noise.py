import cv2
import numpy as np
import pytest

from merau.stream.align import Aligner
from merau.stream.coding_noise import CodingSmoother
from merau.stream.faces import Face
from merau.stream.sources import Frame
from tests.stream.test_align import GOOD_QUALITY


def test_mean_loses_noise_and_keeps_the_time_of_what_it_shows():
    smoother, rng = CodingSmoother(), np.random.default_rng(0)
    for index in range(60):
        grey = np.clip(rng.normal(60 + 2 * index, 5, (180, 168)), 0, 255).astype(np.uint8)
        shown, t_s = smoother.smooth(grey, index / 30)
    assert shown.std() < 0.62 * grey.std()
    assert np.mean(shown) == pytest.approx(60 + 2 * 30 * t_s, abs=1)  # brightness tells the time
    assert 0.02 < 59 / 30 - t_s < 0.05


def test_mean_begins_anew_after_a_gap():
    smoother = CodingSmoother()
    smoother.smooth(np.full((180, 168), 50, np.uint8), 0.0)
    grey = np.full((180, 168), 90, np.uint8)
    assert np.array_equal(smoother.smooth(grey, 1.0)[0], grey)


def test_crops_are_smoothed_only_where_frames_are_coarse():
    rng = np.random.default_rng(0)
    points = rng.uniform(60, 180, (468, 3)).astype(np.float32)
    points[[33, 133]], points[[263, 362]], points[[61, 291]] = (80, 90, 0), (160, 90, 0), (120, 170, 0)
    images = rng.integers(0, 255, (4, 240, 240, 3)).astype(np.uint8)
    for coarse in (False, True):
        aligner = Aligner()
        frames = [Frame(image, i / 30, i, 0.0, coarse=coarse) for i, image in enumerate(images)]
        crops = [aligner.crop(frame, Face(1, points, GOOD_QUALITY)) for frame in frames]
        times_s = [crop.t_s for crop in crops]
        assert times_s == sorted(times_s)
        own = [np.array_equal(crop.grey, cv2.cvtColor(crop.image, cv2.COLOR_BGR2GRAY)) for crop in crops]
        assert own == ([True, False, False, False] if coarse else [True] * 4)
