"""Meshes that are carried on: where the head goes they follow, and where the face changes they end."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from merau.engine.crop import apply, similarity
from merau.engine.face_mesh import FaceNets
from merau.stream.faces.carry import MAX_CARRY_S, MeshCarrier
from merau.stream.faces.quality import thumbnail
from tests.stream.faces.support import frames_of, track
from tests.stream.people import clip

T_S = 1 / 30


@pytest.fixture(scope="module")
def face():
    """A frame, its mesh, and what carries it on."""
    nets, frame = FaceNets(), clip("single_face.mp4")[5]
    mesh = nets.mesh(frame, nets.mesh(frame, nets.detect(frame)[0]).landmarks)
    return frame, mesh, MeshCarrier(mesh, thumbnail(frame, mesh.landmarks), 0.0)


def test_moved_head_is_followed(face):
    frame, mesh, carrier = face
    centre = mesh.landmarks[:, :2].mean(axis=0).tolist()
    motion = cv2.getRotationMatrix2D(centre, 0.08, 1.001) + np.array([[0, 0, 2.0], [0, 0, -1.5]])
    moved = cv2.warpAffine(frame, motion, frame.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    carried, _ = carrier.carry(moved, mesh.landmarks, T_S)
    away_px = np.linalg.norm(carried.landmarks[:, :2] - apply(motion, mesh.landmarks), axis=1)
    assert away_px.max() < 0.5
    assert carried.logit == mesh.logit


def test_fast_roll_needs_a_mesh(face):
    frame, mesh, carrier = face
    rolled = cv2.getRotationMatrix2D(mesh.landmarks[:, :2].mean(axis=0).tolist(), 0.8, 1)
    moved = cv2.warpAffine(frame, rolled, frame.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    assert carrier.carry(moved, mesh.landmarks, T_S) is None


def test_brighter_light_is_no_change(face):
    frame, mesh, carrier = face
    brighter = cv2.convertScaleAbs(frame, alpha=1.1, beta=3)
    carried, _ = carrier.carry(brighter, mesh.landmarks, T_S)
    np.testing.assert_allclose(carried.landmarks, mesh.landmarks, atol=0.2)


@pytest.mark.parametrize("point", [159, 14], ids=["eye", "mouth"])  # upper lid, lower lip
def test_changed_eye_or_mouth_needs_a_mesh(face, point):
    frame, mesh, carrier = face
    changed = frame.copy()
    width_px = np.linalg.norm(mesh.landmarks[263] - mesh.landmarks[33])
    x, y = mesh.landmarks[point, :2].round().astype(int).tolist()
    skin = [int(value) for value in frame[y - int(0.25 * width_px), x]]
    cv2.ellipse(changed, (x, y), (int(0.15 * width_px), int(0.05 * width_px)), 0, 0, 360, skin, -1)
    assert carrier.carry(changed, mesh.landmarks, T_S) is None


def test_blank_picture_has_no_face(face):
    frame, mesh, carrier = face
    assert carrier.carry(np.full_like(frame, 90), mesh.landmarks, T_S) is None


def test_old_mesh_is_not_carried(face):
    frame, mesh, carrier = face
    assert carrier.carry(frame, mesh.landmarks, MAX_CARRY_S) is not None
    assert carrier.carry(frame, mesh.landmarks, MAX_CARRY_S + T_S) is None


def test_still_face_is_mostly_carried():
    frame = clip("single_face.mp4")[5]
    faces = [seen[0] for _, seen in track(frames_of([frame] * 24))]
    shapes = [face.landmarks[:, :2].astype(np.float64) for face in faces]
    same = [np.abs(apply(similarity(one, other), one) - other).max() < 1e-3 for one, other in pairwise(shapes)]
    assert sum(same) >= 16
    assert len({face.track_id for face in faces}) == 1
