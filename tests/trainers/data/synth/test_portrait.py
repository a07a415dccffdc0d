"""The animated portrait: its head, its mouth, and that it rests and moves as asked."""

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.trainers.data.synth.clips import ASTRONAUT
from merau.trainers.data.synth.image_pairs import read_faces
from merau.trainers.data.synth.portrait import REST, Mouth, Portrait, Pose, find_face


@pytest.fixture(scope="module")
def face():
    return read_faces([ASTRONAUT], FaceNets())[0]


@pytest.fixture(scope="module")
def portrait(face):
    return Portrait(face.picture, face.landmarks, size=(160, 140), face_px=80)


def test_pose_turns_scales_and_shifts():
    points, depth = np.array([[10.0, 0.0], [0.0, 0.0]]), np.array([0.0, 10.0])
    assert np.allclose(REST.apply(points, depth), points)
    assert np.allclose(Pose(roll_deg=90, scale=2, shift_px=(1, 0)).apply(points, depth), [[1, 20], [1, 0]])
    aside = REST.turned(30, 0, 0).turned(60, 0, 0).apply(points, depth)  # the side is hidden, the nose at the side
    assert np.allclose(aside, [[0, 0], [10, 0]])


def test_shading_lights_what_rises_and_leaves_the_rest(face):
    kinds = [Portrait(face.picture, face.landmarks, size=(160, 140), face_px=80, shading=s) for s in (0.0, 0.05)]
    frown = {"4 left": 5.0, "4 right": 5.0}
    resting = [portrait.frame({}).astype(int) for portrait in kinds]
    assert np.array_equal(*resting)
    plain, lit = (portrait.frame(frown).astype(int) for portrait in kinds)
    changed = np.abs(lit - plain).max(-1)
    mouth = int(kinds[0].landmarks[13, 1])
    assert changed[: mouth - 10].max() > 5
    assert changed[mouth:].max() <= 1


def test_mouth_closed_lifts_what_is_below_lips():
    mouth = Mouth(centre=0.5, half_width=0.1, upper=0.7, lower=0.8)
    points = np.array([[0.5, 0.6], [0.5, 0.7], [0.5, 0.75], [0.5, 0.9], [0.9, 0.9]])
    assert np.allclose(mouth.closed(points), [[0.5, 0.6], [0.5, 0.7], [0.5, 0.7], [0.5, 0.8], [0.9, 0.9]])


def test_find_face_of_picture_without_is_refused(face):
    nets = FaceNets()
    with pytest.raises(UserError, match="has 0 face"):
        find_face(np.full((200, 200, 3), 128, np.uint8), nets)
    with pytest.raises(UserError, match=r"has 1 face.*number 1 is not among them"):
        find_face(face.picture, nets, 1)


def test_portrait_at_rest_is_the_picture(face):
    still = Portrait(face.picture, face.landmarks, size=face.picture.shape[1::-1], face_px=None)
    assert np.array_equal(still.landmarks, face.landmarks)
    assert np.abs(still.frame({}).astype(int) - face.picture).mean() < 2


def test_portrait_places_face_of_asked_width(portrait):
    left, right = portrait.landmarks[[234, 454], :2]
    assert np.linalg.norm(right - left) == pytest.approx(80)
    assert portrait.frame({}).shape == (140, 160, 3)


def test_flow_of_shifted_head_is_the_shift(portrait):
    flow = portrait.flow(({}, REST), ({}, Pose(shift_px=(3, -2))))
    x, y = portrait.landmarks[:, :2].mean(0).astype(int)
    assert flow.shape == (2, 140, 160)
    assert flow[:, y, x] == pytest.approx([3, -2], abs=0.05)
