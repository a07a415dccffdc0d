import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from merau.engine.face_mesh import LEFT_EYE_OUTER, NOSE_TIP, RIGHT_EYE_OUTER, FaceNets, head_axes, weighted_suppression
from scripts.support.footage import footage


@pytest.fixture(scope="module")
def astronaut():
    return cv2.imread(str(footage("astronaut.png")))


@pytest.fixture(scope="module")
def nets():
    return FaceNets()


def test_nets_match_the_hashes_in_the_notice():
    notice = (Path(__file__).parents[2] / "NOTICE").read_text()
    named = dict(re.findall(r"engine/nets/(\S+\.tflite).*?sha256 (\w{64})", notice, flags=re.DOTALL))
    nets = (files("merau.engine") / "nets").iterdir()
    found = {net.name: hashlib.sha256(net.read_bytes()).hexdigest() for net in nets}
    assert found == named


@pytest.mark.parametrize("detector", ["short", "wide"])
def test_detector_and_mesh_agree_on_a_face(astronaut, detector):
    nets = FaceNets(detector)
    (detection,) = nets.detect(astronaut)
    assert detection.score > 0.8
    np.testing.assert_allclose(detection.box, [177, 76, 275, 175], atol=7)
    mesh = nets.mesh(astronaut, detection)
    assert mesh.landmarks.shape == (468, 3)
    assert mesh.landmarks.dtype == np.float32
    assert mesh.logit > 20
    assert mesh.presence > 0.999
    eye_middles = mesh.landmarks[[33, 362], :2] / 2 + mesh.landmarks[[133, 263], :2] / 2
    np.testing.assert_allclose(detection.keypoints[:2], eye_middles, atol=4)
    np.testing.assert_allclose(detection.keypoints[2], mesh.landmarks[NOSE_TIP, :2], atol=8)


def test_mesh_rotates_and_scales_with_the_image(astronaut, nets):
    mesh = nets.mesh(astronaut, nets.mesh(astronaut, nets.detect(astronaut)[0]).landmarks)
    turned = cv2.getRotationMatrix2D((226, 128), 25, 1.5)
    picture = cv2.warpAffine(astronaut, turned, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    found = nets.mesh(picture, nets.mesh(picture, nets.detect(picture)[0]).landmarks).landmarks
    expected = np.column_stack([mesh.landmarks[:, :2] @ turned[:, :2].T + turned[:, 2], 1.5 * mesh.landmarks[:, 2]])
    size = np.linalg.norm(expected[LEFT_EYE_OUTER] - expected[RIGHT_EYE_OUTER])
    assert np.median(np.linalg.norm(found - expected, axis=1)) < 0.03 * size


def test_image_without_a_face_gives_no_detection(nets):
    for shape in ((480, 640, 3), (1, 1, 3), (30, 2000, 3)):
        assert nets.detect(np.full(shape, 127, np.uint8)) == []


def test_mesh_off_the_face_has_low_presence(astronaut, nets):
    elsewhere = nets.mesh(astronaut, nets.detect(astronaut)[0]).landmarks + np.float32([150, 250, 0])
    assert nets.mesh(astronaut, elsewhere).presence < 0.5


def test_mesh_jitter_on_a_neutral_face_is_small(nets):
    """Jitter of the landmarks while nothing moves but noise: it bounds what alignment can do."""
    with av.open(str(footage("single_face.mp4"))) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)][:14]
    landmarks = nets.mesh(pictures[0], nets.detect(pictures[0])[0]).landmarks
    courses = []
    for picture in pictures:
        landmarks = nets.mesh(picture, landmarks).landmarks
        courses.append(landmarks[:, :2] - landmarks[:, :2].mean(axis=0))
    assert np.median(np.linalg.norm(np.diff(courses, axis=0), axis=2)) < 0.3


def test_overlapping_detections_are_blended_by_score():
    box = np.array([[0, 0], [10, 10], [2, 2], [8, 2], [5, 5], [5, 8], [0, 2], [10, 2]], np.float32)
    points = np.stack([box, box + 1, box + 100])
    (near, near_score), (far, far_score) = weighted_suppression(points, np.array([0.6, 0.9, 0.7]))
    assert (near_score, far_score) == (pytest.approx(0.9), pytest.approx(0.7))
    np.testing.assert_allclose(near, box + 0.6, atol=1e-5)
    np.testing.assert_allclose(far, box + 100)


def test_head_axes_are_right_handed(astronaut, nets):
    axes = head_axes(nets.mesh(astronaut, nets.detect(astronaut)[0]).landmarks)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1)
    np.testing.assert_allclose(np.diag(axes), 1, atol=0.1)  # she looks into the camera


def test_nets_loaded_at_one_time_leave_stderr_open():
    before = os.fstat(2)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: FaceNets().detect(np.zeros((64, 64, 3), np.uint8)), range(8)))
    assert os.path.samestat(os.fstat(2), before)
