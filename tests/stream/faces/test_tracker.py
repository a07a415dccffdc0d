"""Who is who over time, on real footage and on scenes whose truth is known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.stream.faces import FaceSettings, FaceTracker
from merau.stream.faces.tracker import best_assignment
from tests.stream.faces.support import frames_of, track
from tests.stream.people import clip, scene

MAN, WOMAN, GIRL, BOY = ("single_face.mp4", 0), ("0-f15-hao-ph.jpg", 0), ("15-f13-anc-ph.jpg", 0), ("multi_face.jpg", 1)


def test_one_person_has_one_track():
    tracked = track(frames_of(clip("single_face.mp4")))
    assert [[face.track_id for face in faces] for _, faces in tracked] == [[1]] * 72
    assert {face.quality.reason for _, faces in tracked for face in faces} == {None}
    assert min(face.quality.score for _, faces in tracked for face in faces) > 0.9


def test_clip_without_faces_gives_none():
    for detector in ("short", "wide"):
        assert not any(faces for _, faces in track(frames_of(clip("no_face.mp4")), FaceSettings(detector=detector)))


@pytest.mark.parametrize(("name", "first", "last"), [("face_noface.mov", 0, 71), ("noface_face.mov", 96, 167)])
def test_face_is_found_exactly_while_visible(name, first, last):
    with_face = [frame.index for frame, faces in track(frames_of(clip(name))) if faces]
    assert with_face == list(range(first, last + 1))


def test_result_depends_on_images_and_times_only():
    frames = frames_of(clip("WolfgangLanger_Pexels.mp4")[:60], fps=24)
    late = [replace(frame, index=7 * frame.index, arrived_s=1e4 + frame.index**2) for frame in frames]
    for (_, one), (_, other) in zip(track(frames), track(late), strict=True):
        assert [face.track_id for face in one] == [face.track_id for face in other]
        for face, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(face.landmarks, same.landmarks)
            assert face.quality == same.quality


def crossing(t_s):
    return (130 + 100 * t_s, 240, 70), (510 - 100 * t_s, 250, 64)


def turning_back(t_s):
    near = max(0, 1 - abs(t_s - 2) / 1.5)
    return (150 + 170 * near, 240, 70), (490 - 170 * near, 245, 64)


@pytest.mark.parametrize(
    ("meeting", "front", "back"),
    [(crossing, MAN, WOMAN), (crossing, GIRL, WOMAN), (turning_back, GIRL, WOMAN), (turning_back, BOY, MAN)],
)
def test_people_who_cross_keep_their_ids(meeting, front, back):
    people = [(*back, lambda t_s: meeting(t_s)[1]), (*front, lambda t_s: meeting(t_s)[0])]
    tracked = track(scene(people, 4))
    ids = {}
    for frame, faces in tracked:
        places = [np.array(place[:2]) for place in meeting(frame.t_s)]
        for face in faces:
            between_eyes = face.landmarks[[33, 263], :2].mean(axis=0)
            away = [np.linalg.norm(between_eyes - place) / face.quality.size_px for place in places]
            assert min(away) < 0.5 or face.quality.reason, f"at {frame.t_s:.2f} s a face is where nobody is"
            who = 0 if away[0] < 0.5 else 1  # where both are, the one in front is seen
            if not face.quality.reason:
                ids.setdefault(who, set()).add(face.track_id)
    assert len(ids[0]) == len(ids[1]) == 1
    assert ids[0] != ids[1]
    assert len(tracked[0][1]) == len(tracked[-1][1]) == 2
    assert np.mean([len(faces) == 2 for _, faces in tracked]) > 0.6


def test_short_occlusion_keeps_the_id():
    def boarded(frame):
        left = int(300 * frame.t_s) - 200
        return replace(frame, image=cv2.rectangle(frame.image.copy(), (left, 0), (left + 150, 480), (90, 110, 130), -1))

    tracked = track(map(boarded, scene([(*MAN, lambda t_s: (200 + 40 * t_s, 240, 70))], 3)))
    assert {face.track_id for _, faces in tracked for face in faces} == {1}
    assert any(not faces for _, faces in tracked)
    assert len(tracked[-1][1]) == 1


def test_returning_person_keeps_the_id_until_forgotten():
    def path(t_s):
        return (320, 240, 70) if t_s < 1 else (150, 200, 60) if t_s >= 3 else None

    for forget_s, ids in ((60, {1}), (1, {1, 2})):
        tracked = track(scene([(*WOMAN, path)], 4), FaceSettings(forget_s=forget_s))
        assert {face.track_id for _, faces in tracked for face in faces} == ids


@pytest.mark.parametrize("away_s", [0.0, 0.3])
def test_another_person_in_the_same_place_gets_a_new_id(away_s):
    people = [
        (*MAN, lambda t_s: (320, 240, 70) if t_s < 1 else None),
        (*GIRL, lambda t_s: (325, 245, 66) if t_s >= 1 + away_s else None),
    ]
    for frame, faces in track(scene(people, 3)):
        assert {face.track_id for face in faces} <= ({1} if frame.t_s < 1 else {2})
        assert faces or 1 <= frame.t_s < 2


def test_wide_detector_finds_everybody_in_a_group():
    (image,) = clip("multi_face.jpg")
    for detector, least in (("short", 1), ("wide", 5)):
        ((_, faces),) = track(frames_of([image]), FaceSettings(detector=detector))
        assert len({face.track_id for face in faces}) == len(faces) >= least


def test_unknown_detector_raises():
    with pytest.raises(UserError, match="Unknown face detector 'retina': choose short"):
        FaceTracker(FaceSettings(detector="retina"))


def test_assignment_prefers_the_largest_sum_to_the_best_pair():
    assert best_assignment(np.array([[0.7, 0.8], [-1.0, 0.6]])) == [(0, 0), (1, 1)]


def test_assignment_forbids_scores_of_zero_or_less():
    assert best_assignment(np.array([[0.2, -0.1], [0.9, 0.0]])) == [(1, 0)]
    assert best_assignment(np.array([[-5.0, 0.1], [-0.2, -3.0]])) == [(0, 1)]


def test_assignment_without_observations_is_empty():
    assert best_assignment(np.zeros((3, 0))) == []
