from collections.abc import Callable

import cv2
import numpy as np
import pytest

from merau.engine.crop import CropSpec, anchors
from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.stream.align import Aligner, AlignSettings, Crop
from merau.stream.faces import Face, FaceTracker, Quality
from merau.stream.sources import Frame
from merau.stream.spotter.features import extract, motion_between, regions
from merau.trainers.data.synth.clips import ASTRONAUT
from merau.trainers.data.synth.portrait import Portrait, Pose, find_face

RATE = 30
GOOD_QUALITY = Quality(100.0, 0.8, 0.0, 0.0, 0.0, 1.0, 0.5, None, 1.0)


def sway(t_s: float) -> Pose:
    shift = (9 * np.sin(2 * np.pi * 0.4 * t_s), 6 * np.sin(2 * np.pi * 0.3 * t_s + 1))
    return Pose(shift, 1 + 0.03 * np.sin(2 * np.pi * 0.25 * t_s), roll_deg=3 * np.sin(2 * np.pi * 0.35 * t_s + 2))


def turn(t_s: float) -> Pose:
    return Pose(yaw_deg=5 * np.sin(2 * np.pi * 0.3 * t_s))


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    picture = cv2.imread(str(ASTRONAUT))
    return Portrait(picture, find_face(picture, FaceNets()))


def crops_of(portrait: Portrait, pose: Callable[[float], Pose], seconds: float) -> list[Crop]:
    tracker, aligner, rng = FaceTracker(), Aligner(), np.random.default_rng(0)
    crops = []
    for index, t_s in enumerate(np.arange(0, seconds, 1 / RATE)):
        image = portrait.frame({}, pose(t_s))
        image = np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)
        frame = Frame(image, float(t_s), index, 0.0)
        crops += [aligner.crop(frame, face) for face in tracker.update(frame)]
    return crops


@pytest.mark.parametrize(("pose", "limit_px"), [(sway, 0.06), (turn, 0.10)])
def test_moving_head_leaves_the_crop_still(portrait, pose, limit_px):
    crops = crops_of(portrait, pose, 1.8)
    spec, lag = CropSpec(), round(0.2 * RATE)
    moments = [extract(crop) for crop in crops]
    left = [motion_between(before, after, spec).patches for before, after in zip(moments, moments[lag:], strict=False)]
    residual = [np.hypot(*patches)[regions(spec).face].mean() for patches in left]
    assert np.median(residual) <= limit_px


def test_eyes_and_mouth_have_fixed_places_in_the_crop(portrait):
    spec, aligner = CropSpec(), Aligner()
    image = np.zeros((480, 640, 3), np.uint8)
    for index in range(20):
        landmarks = portrait.landmarks.copy()
        landmarks[:, :2] = (landmarks[:, :2] - 300) * (1 + 0.02 * index) + (200 + 5 * index, 260)
        crop = aligner.crop(Frame(image, index / 30, index, 0.0), Face(1, landmarks.astype(np.float32), GOOD_QUALITY))
        placed = (anchors(crop.landmarks) - (spec.side_px, spec.top_px)) / spec.size_px
        assert placed == pytest.approx(np.array([[0.22, 0.25], [0.78, 0.25], [0.5, 0.82]]), abs=1e-3)
        assert (crop.grey.shape, crop.image.shape) == ((180, 168), (180, 168, 3))


def test_short_expression_does_not_enter_the_mean_shape(portrait):
    shifts = []
    for rate in (25, 200):
        aligner, image = Aligner(), np.zeros((480, 640, 3), np.uint8)
        for index in range(5 * rate):
            landmarks = portrait.landmarks.astype(np.float32)
            if index >= 4.7 * rate:
                landmarks[152, 1] += 20  # the chin drops
            crop = aligner.crop(Frame(image, index / rate, index, 0.0), Face(1, landmarks, GOOD_QUALITY))
        shifts.append(crop.matrix)
    assert shifts[0] == pytest.approx(shifts[1], abs=0.05)


def test_memory_of_zero_raises_with_its_name():
    with pytest.raises(UserError, match="shape_memory_s is 0"):
        AlignSettings(shape_memory_s=0)
