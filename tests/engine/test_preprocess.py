import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.preprocess import (
    FLOOR_PX,
    GRID,
    UNKNOWN_MAGNITUDE,
    apex_image,
    channel_pattern,
    downsample,
    input_spec,
    split_pattern_and_magnitude,
)


def test_pattern_ignores_the_scale_of_each_axis():
    flow = np.random.default_rng(0).normal(0, 0.5, (2, 2, GRID, GRID)).astype(np.float32)
    stretched = flow * np.array([0.2, 3], np.float32)[:, None, None] + np.array([5, -1], np.float32)[:, None, None]
    pattern, magnitude = split_pattern_and_magnitude(stretched)
    assert np.allclose(pattern, channel_pattern(flow), atol=1e-5)
    assert np.allclose(pattern.std((2, 3)), 1, atol=1e-3)
    assert np.allclose(magnitude[:, 0], np.log2(0.5 * np.sqrt((0.2**2 + 3**2) / 2)), atol=0.05)  # of both together


def test_axis_without_motion_stays_near_zero():
    flow = np.random.default_rng(0).normal(0, 1, (1, 2, GRID, GRID)) * np.array([1, 0.001])[:, None, None]
    pattern, _ = split_pattern_and_magnitude(flow)
    assert pattern[0, 0].std() == pytest.approx(1, abs=1e-3)
    assert pattern[0, 1].std() == pytest.approx(0.001 / FLOOR_PX, rel=0.1)


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
        input_spec(CropSpec(), ["dis"], apex_px=100)
    for methods, named in ((["dis", "raft"], "'dis', 'raft'"), ([], "none")):
        with pytest.raises(UserError, match=f"flow method {named}; this version has dis, farneback"):
            input_spec(CropSpec(), methods)
