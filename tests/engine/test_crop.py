import cv2
import numpy as np
import pytest

from merau.engine.crop import CropSpec, anchors, apply, compose, crop_face, layout_transform, similarity
from merau.engine.errors import UserError
from merau.trainers.data.synth.clips import ASTRONAUT

SPEC = CropSpec()


def turn(scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    a, b = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[a, -b, shift[0]], [b, a, shift[1]]])


def test_similarity_recovers_the_applied_transform():
    points = np.random.default_rng(0).normal(0, 50, (468, 2))
    there = turn(1.7, 20, (30, -8))
    assert similarity(points, apply(there, points)) == pytest.approx(there)


def test_compose_applies_inner_first():
    points = np.random.default_rng(0).normal(0, 50, (5, 2))
    outer, inner = turn(2, 10, (3, 4)), turn(0.5, -40, (1, 0))
    assert apply(compose(outer, inner), points) == pytest.approx(apply(outer, apply(inner, points)))


def test_layout_places_eyes_and_mouth_as_documented():
    shape = np.random.default_rng(0).normal(200, 50, (468, 3))
    placed = apply(layout_transform(shape, SPEC), anchors(shape))
    expected = np.array([[0.22, 0.25], [0.78, 0.25], [0.5, 0.82]]) * 128 + (20, 36)
    assert placed == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("factor", [1.0, 2.3, 3.0, 5.7])
def test_crop_position_is_independent_of_face_size(factor):
    picture = cv2.cvtColor(cv2.imread(str(ASTRONAUT)), cv2.COLOR_BGR2GRAY)
    smooth = cv2.GaussianBlur(picture, (0, 0), 6).astype(np.float32)
    to_crop = turn(1.0, 4, (-130.3, -40.6))
    larger = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2]])  # pixel centres
    size = (round(smooth.shape[1] * factor), round(smooth.shape[0] * factor))
    large = cv2.warpAffine(smooth, larger, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    back = cv2.invertAffineTransform(larger)
    one, other = crop_face(smooth, to_crop, SPEC), crop_face(large, compose(to_crop, back), SPEC)
    inner = SPEC.inner
    shift, _ = cv2.phaseCorrelate(one[inner].astype(np.float64), other[inner].astype(np.float64))
    assert shift == pytest.approx((0, 0), abs=0.03)


def test_crop_beyond_the_image_repeats_its_border():
    image = np.full((60, 60, 3), 90, np.uint8)
    crop = crop_face(image, turn(1.0, 0, (100, 100)), SPEC)
    assert crop.shape == (180, 168, 3)
    assert np.all(crop == 90)


def test_crop_spec_out_of_range_is_refused():
    with pytest.raises(UserError, match="size_px is 8"):
        CropSpec(size_px=8)
    with pytest.raises(UserError, match="top_px is -1"):
        CropSpec(top_px=-1)
