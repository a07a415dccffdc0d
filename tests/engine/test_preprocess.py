import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.preprocess import (
    GRID,
    UNKNOWN_MAGNITUDE,
    apex_image,
    downsample,
    input_spec,
    split_pattern_and_magnitude,
)


def test_pattern_ignores_the_scale_of_the_flow():
    flow = np.random.default_rng(0).normal(0, 0.5, (1, 2, GRID, GRID)).astype(np.float32)
    pattern, magnitude = split_pattern_and_magnitude(flow)
    twice, more = split_pattern_and_magnitude(2 * flow)
    assert np.allclose(pattern, twice, atol=1e-5)
    assert np.allclose(more, magnitude + 1, atol=1e-5)
    assert np.allclose(split_pattern_and_magnitude(0 * flow)[0], 0)


def test_downsample_keeps_pixel_units():
    assert np.allclose(downsample(np.full((2, 128, 128), 1.5, np.float32)), 1.5)


def test_unknown_magnitude_keeps_the_pattern():
    flow = np.random.default_rng(0).normal(0, 0.5, (2, 2, GRID, GRID)).astype(np.float32)
    pattern, magnitude = split_pattern_and_magnitude(flow, np.array([True, False]))
    assert np.array_equal(pattern, split_pattern_and_magnitude(flow)[0])
    assert magnitude[0] < 0
    assert magnitude[1] == UNKNOWN_MAGNITUDE


def test_apex_image_is_the_inner_square_in_0_to_1():
    crop = np.zeros(CropSpec().full, np.uint8)
    crop[CropSpec().inner] = 255
    for size_px in (64, 256):
        image = apex_image(crop, CropSpec(), size_px)
        assert (image.shape, image.dtype) == ((1, size_px, size_px), np.float32)
        assert (image == 1).all()


def test_unsupported_apex_side_and_flow_method_are_refused():
    with pytest.raises(UserError, match="apex images of 100 px"):
        input_spec(CropSpec(), "dis", apex_px=100)
    with pytest.raises(UserError, match="flow method 'raft'"):
        input_spec(CropSpec(), "raft")
