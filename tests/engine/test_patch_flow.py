import cv2
import numpy as np
import pytest

from merau.engine.patch_flow import build_pyramid, patch_flow, patch_means, patch_texture


def moved(picture: np.ndarray, u: float, v: float) -> np.ndarray:
    height, width = picture.shape
    return cv2.warpAffine(picture, np.array([[1, 0, u], [0, 1, v]]), (width, height), borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture
def picture() -> np.ndarray:
    """Texture of all sizes, as skin has."""
    grain = np.random.default_rng(3).normal(size=(180, 168))
    layers = [cv2.GaussianBlur(grain, None, sigma) * sigma for sigma in (3.0, 6.0, 12.0)]
    return np.clip(128 + 60 * np.sum(layers, axis=0), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("u", "v"), [(0.0, 0.0), (0.5, -0.25), (-3.0, 2.0), (6.0, -5.0)])
def test_patch_flow_measures_a_shift(picture, u, v):
    flow, residual = patch_flow(build_pyramid(picture), build_pyramid(moved(picture, u, v)))
    assert flow.dtype == residual.dtype == np.float32
    inner = np.hypot(flow[0] - u, flow[1] - v)[2:-2, 2:-2]
    assert np.median(inner) < 0.08
    assert inner.max() < 0.5
    assert np.median(residual) < 1.5


def test_patch_without_texture_has_low_trust_and_small_flow(picture):
    picture[60:120, 60:120] = 128
    before, after = build_pyramid(picture), build_pyramid(moved(picture, 2.0, 0.0))
    plain = patch_texture(before)[9:13, 9:13]
    assert plain.max() < 0.05 < patch_texture(before)[:5].mean()
    assert np.abs(patch_flow(before, after)[0][:, 9:13, 9:13]).max() < 4


def test_brightness_change_gives_no_flow(picture):
    flow, residual = patch_flow(build_pyramid(picture), build_pyramid(picture + np.uint8(20) * (picture < 230)))
    assert np.median(np.hypot(*flow)) < 0.01
    assert np.median(residual) < 0.5


@pytest.mark.parametrize("shape", [(32, 32), (45, 61), (584, 552)])
def test_patch_flow_handles_other_image_sizes(shape):
    grain = np.random.default_rng(1).normal(128, 40, shape).clip(0, 255).astype(np.uint8)
    smooth = cv2.GaussianBlur(grain, None, 3)
    flow, _ = patch_flow(build_pyramid(smooth), build_pyramid(moved(smooth, 1.0, 0.0)))
    assert flow.shape[1:] == patch_means(smooth[None].astype(np.float32)).shape[1:]
    assert np.isfinite(flow).all()
