import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.stream.faces import Face, FaceSettings, FaceTracker
from merau.stream.faces.detectors import open_detector
from merau.stream.faces.quality import pose_deg
from merau.stream.faces.tracker import best_pairs
from merau.stream.sources import Frame
from tests.stream.people import clip, scene

MAN, WOMAN, GIRL, BOY = ("single_face.mp4", 0), ("0-f15-hao-ph.jpg", 0), ("15-f13-anc-ph.jpg", 0), ("multi_face.jpg", 1)


def film(pictures: Iterable[np.ndarray], fps: float = 30) -> list[Frame]:
    return [Frame(picture, index / fps, index, 0.0) for index, picture in enumerate(pictures)]


def track(frames: Iterable[Frame], settings: FaceSettings | None = None) -> list[tuple[Frame, list[Face]]]:
    tracker = FaceTracker(settings)
    return [(frame, tracker.update(frame)) for frame in frames]


def reasons(pictures: Iterable[np.ndarray]) -> set[str]:
    return {face.quality.reason for _, faces in track(film(pictures)) for face in faces}


def test_one_person_is_one_track_on_every_frame():
    seen = track(film(clip("single_face.mp4")))
    assert [[face.track_id for face in faces] for _, faces in seen] == [[1]] * 72
    assert {face.quality.reason for _, faces in seen for face in faces} == {""}
    assert min(face.quality.score for _, faces in seen for face in faces) > 0.9


def test_no_face_on_any_frame_of_a_clip_without_one():
    for detector in ("short", "wide"):
        assert not any(faces for _, faces in track(film(clip("no_face.mp4")), FaceSettings(detector=detector)))


@pytest.mark.parametrize(("name", "first", "last"), [("face_noface.mov", 0, 71), ("noface_face.mov", 96, 167)])
def test_a_face_is_there_while_it_is_there(name, first, last):
    with_face = [frame.index for frame, faces in track(film(clip(name))) if faces]
    assert with_face == list(range(first, last + 1))


def test_only_the_times_of_frames_count():
    frames = film(clip("WolfgangLanger_Pexels.mp4")[:60], fps=24)
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
def test_people_who_pass_before_each_other_keep_their_ids(meeting, front, back):
    people = [(*back, lambda t_s: meeting(t_s)[1]), (*front, lambda t_s: meeting(t_s)[0])]
    seen = track(scene(people, 4))
    ids = {}
    for frame, faces in seen:
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
    assert len(seen[0][1]) == len(seen[-1][1]) == 2
    assert np.mean([len(faces) == 2 for _, faces in seen]) > 0.6


def test_a_short_loss_behind_a_passing_board_keeps_the_id():
    def boarded(frame):
        left = int(300 * frame.t_s) - 200
        return replace(frame, image=cv2.rectangle(frame.image.copy(), (left, 0), (left + 150, 480), (90, 110, 130), -1))

    seen = track(map(boarded, scene([(*MAN, lambda t_s: (200 + 40 * t_s, 240, 70))], 3)))
    assert {face.track_id for _, faces in seen for face in faces} == {1}
    assert any(not faces for _, faces in seen)
    assert len(seen[-1][1]) == 1


def test_who_comes_back_gets_the_old_id_until_the_track_has_ended():
    def path(t_s):
        return (320, 240, 70) if t_s < 1 else (150, 200, 60) if t_s >= 3 else None

    for forget_s, ids in ((60, {1}), (1, {1, 2})):
        seen = track(scene([(*WOMAN, path)], 4), FaceSettings(forget_s=forget_s))
        assert {face.track_id for _, faces in seen for face in faces} == ids


@pytest.mark.parametrize("away_s", [0.0, 0.3])
def test_somebody_else_in_the_same_place_is_somebody_else(away_s):
    people = [
        (*MAN, lambda t_s: (320, 240, 70) if t_s < 1 else None),
        (*GIRL, lambda t_s: (325, 245, 66) if t_s >= 1 + away_s else None),
    ]
    for frame, faces in track(scene(people, 3)):
        assert {face.track_id for face in faces} <= ({1} if frame.t_s < 1 else {2})
        assert faces or 1 <= frame.t_s < 2


def test_a_hand_before_the_face_is_said():
    seen = track(film(clip("WolfgangLanger_Pexels.mp4"), fps=24000 / 1001))
    assert {face.track_id for _, faces in seen for face in faces} == {1}
    hidden = {frame.t_s: faces[0].quality.reason == "hidden" for frame, faces in seen}
    assert all(is_hidden for t_s, is_hidden in hidden.items() if 3.0 < t_s < 6.0)  # before mouth, then nose and eye
    assert not any(is_hidden for t_s, is_hidden in hidden.items() if t_s < 2.3 or t_s > 9.8)


def on_grey(picture, scale, left=80, top=60, size=(640, 480)):
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.full((size[1], size[0], 3), 90, np.uint8)
    part = small[: size[1] - top, max(0, -left) : size[0] - left]
    canvas[top : top + part.shape[0], max(0, left) : max(0, left) + part.shape[1]] = part
    return canvas


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda picture: on_grey(picture, 0.42), "too small: 42 px between the outer eye corners, needs 45"),
        (lambda picture: (0.1 * picture).astype(np.uint8), "too dark"),
        (lambda picture: np.clip(2.0 * picture + 120, 0, 255).astype(np.uint8), "too bright"),
        (lambda picture: cv2.GaussianBlur(picture, (0, 0), 5), "blurred"),
        (lambda picture: on_grey(picture, 1.0, left=-240), "partly outside the picture"),
    ],
)
def test_a_poor_face_is_followed_and_the_reason_said(spoil, reason):
    assert reasons(spoil(picture) for picture in clip("single_face.mp4")[:5]) == {reason}


def test_a_face_turned_away_is_not_analysed():
    (reason,) = reasons(clip("45-m7-di-ph.jpg"))
    assert reason.startswith("turned away 4")
    assert reason.endswith(" degrees")


@pytest.mark.parametrize(
    ("name", "yaw_deg"), [("0-f15-hao-ph.jpg", 0), ("15-f13-anc-ph.jpg", -15), ("45-m7-di-ph.jpg", -45)]
)
def test_pose_of_portraits_taken_at_known_angles(name, yaw_deg):
    nets = FaceNets("wide")
    (picture,) = clip(name)
    landmarks = nets.mesh(picture, nets.mesh(picture, nets.detect(picture)[0]).landmarks).landmarks
    yaw, pitch, roll = pose_deg(landmarks)
    assert abs(yaw - yaw_deg) < 6
    assert abs(pitch) < 12
    assert abs(roll) < 6


@pytest.mark.parametrize(("light", "bit_rate"), [(1.0, 300_000), (0.3, 1_500_000)])
def test_an_ordinary_webcam_passes(light, bit_rate):
    """A face of 90 px width at 640x480, with noise, through H.264, in good light and in little."""
    rng = np.random.default_rng(0)
    pictures = [light * on_grey(picture, 0.6) for picture in clip("single_face.mp4")[:40]]
    noisy = [(picture + rng.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8) for picture in pictures]
    assert reasons(through_h264(noisy, bit_rate)) == {""}


def through_h264(pictures, bit_rate):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.bit_rate = pictures[0].shape[1], pictures[0].shape[0], bit_rate
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    with av.open(io.BytesIO(file.getvalue())) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_wide_finds_everybody_in_a_group():
    (picture,) = clip("multi_face.jpg")
    for detector, least in (("short", 1), ("wide", 5)):
        ((_, faces),) = track(film([picture]), FaceSettings(detector=detector))
        assert len({face.track_id for face in faces}) == len(faces) >= least


def test_yunet_reads_opencv_rows_as_detections(tmp_path):
    """A net of YuNet's form that always sees one face: round 160, 136, 64 x 80 px."""
    path = tmp_path / "yunet.onnx"
    onnx.save(yunet_that_sees_one_face(), str(path))
    (detection,) = open_detector(f"yunet:{path}", FaceNets())(np.zeros((320, 320, 3), np.uint8))
    np.testing.assert_allclose(detection.box, [136, 96, 200, 176], atol=0.1)
    np.testing.assert_allclose(detection.keypoints[:3], [[144, 112], [176, 112], [160, 128]], atol=0.1)
    assert detection.score == pytest.approx(0.9)


def yunet_that_sees_one_face(side=320, stride_of_face=16, cell=8 * 20 + 10):
    face = {
        "cls": [0.9],
        "obj": [0.9],
        "bbox": [0.5, 0.5, np.log(4), np.log(5)],
        "kps": [-1, -1, 1, -1, 0, 0, -1, 1, 1, 1],
    }
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Sub", ["mean", "mean"], ["nothing"]),
    ]
    outputs, constants = [], []
    for kind, values in face.items():
        for stride in (8, 16, 32):
            cells = (side // stride) ** 2
            rows = np.zeros((1, 1, cells, len(values)), np.float32)
            if stride == stride_of_face:
                rows[0, 0, cell] = values
            name, shape = f"{kind}_{stride}", [1, cells, len(values)]
            constants.append(numpy_helper.from_array(rows, f"{name}_rows"))
            constants.append(numpy_helper.from_array(np.array(shape), f"{name}_shape"))
            nodes += [
                helper.make_node("Add", ["nothing", f"{name}_rows"], [f"{name}_all"]),
                helper.make_node("Reshape", [f"{name}_all", f"{name}_shape"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])
    graph = helper.make_graph(nodes, "yunet", [picture], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(
    ("detector", "sentence"),
    [
        ("retina", "choose short, wide, insightface"),
        ("yunet:", "choose short, wide, insightface"),
        ("yunet:/nowhere/net.onnx", "There is no YuNet model at /nowhere/net.onnx"),
        (f"yunet:{Path(__file__)}", "cannot read"),
        ("insightface", "--faces short or wide"),
    ],
)
def test_a_detector_that_cannot_be_had_is_said_in_a_sentence(detector, sentence, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # where insightface has no models
    with pytest.raises(UserError, match=sentence):
        FaceTracker(FaceSettings(detector=detector))


def test_settings_out_of_range_name_the_field_and_the_value():
    with pytest.raises(UserError, match="min_presence is 7"):
        FaceSettings(min_presence=7)
    with pytest.raises(UserError, match="forget_s is -1"):
        FaceSettings(forget_s=-1)


def test_best_pairs_prefers_the_largest_sum_to_the_best_pair():
    assert best_pairs(np.array([[0.7, 0.8], [-1.0, 0.6]])) == [(0, 0), (1, 1)]
    assert best_pairs(np.array([[0.2, -0.1], [0.9, 0.0]])) == [(1, 0)]
    assert best_pairs(np.zeros((3, 0))) == []
