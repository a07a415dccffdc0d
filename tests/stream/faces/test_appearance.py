"""Appearances of the same and of different people."""

import numpy as np
import pytest

from merau.engine.face_mesh import FaceNets
from merau.stream.faces.appearance import CERTAIN_DISTANCE, SAME_PERSON_DISTANCE, Appearance, describe
from merau.stream.faces.quality import thumbnail
from tests.stream.people import clip


def appearance_of(name: str, frame: int = 0, light: float = 1.0) -> Appearance:
    nets, image = FaceNets("wide"), clip(name)[frame]
    landmarks = nets.mesh(image, nets.mesh(image, nets.detect(image)[0]).landmarks).landmarks
    return describe(thumbnail((light * image).astype(np.uint8), landmarks), landmarks)


def test_one_person_looks_alike_in_two_frames_and_in_less_light():
    first = appearance_of("single_face.mp4")
    assert first.distance(first) == pytest.approx(0, abs=1e-5)
    assert first.distance(appearance_of("single_face.mp4", 40)) < CERTAIN_DISTANCE
    assert first.distance(appearance_of("single_face.mp4", light=0.5)) < CERTAIN_DISTANCE


def test_two_people_look_different():
    one, other = appearance_of("single_face.mp4"), appearance_of("0-f15-hao-ph.jpg")
    assert one.distance(other) == other.distance(one) > SAME_PERSON_DISTANCE


def test_ema_update_moves_towards_the_newest():
    one, other = appearance_of("single_face.mp4"), appearance_of("0-f15-hao-ph.jpg")
    assert one.ema_update(other, 0.0).distance(one) == pytest.approx(0, abs=1e-5)
    assert one.ema_update(other, 1.0).distance(other) == pytest.approx(0, abs=1e-5)
    mean = one.ema_update(other, 0.2)
    assert mean.distance(one) < mean.distance(other)
    assert np.linalg.norm(mean.grey) == pytest.approx(1, abs=1e-5)
