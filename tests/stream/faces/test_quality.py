"""The quality of a face, and the reason if it is too poor to analyse."""

import io
from collections.abc import Iterable

import av
import cv2
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.stream.faces import FaceSettings
from merau.stream.faces.quality import pose_deg
from tests.stream.faces.support import frames_of, on_grey, track
from tests.stream.people import clip


def reasons(images: Iterable[np.ndarray]) -> set[str]:
    """The reasons in all frames; empty for a face that can be analysed."""
    return {str(face.quality.reason or "") for _, faces in track(frames_of(images)) for face in faces}


def test_hand_before_the_face_is_hidden():
    tracked = track(frames_of(clip("WolfgangLanger_Pexels.mp4"), fps=24000 / 1001))
    assert {face.track_id for _, faces in tracked for face in faces} == {1}
    hidden = {frame.t_s: str(faces[0].quality.reason) == "hidden" for frame, faces in tracked}
    assert all(is_hidden for t_s, is_hidden in hidden.items() if 3.0 < t_s < 6.0)  # before mouth, then nose and eye
    assert not any(is_hidden for t_s, is_hidden in hidden.items() if t_s < 2.3 or t_s > 9.8)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda image: on_grey(image, 0.42), "too small: 42 px between the outer eye corners, needs 45"),
        (lambda image: (0.1 * image).astype(np.uint8), "too dark"),
        (lambda image: np.clip(2.0 * image + 120, 0, 255).astype(np.uint8), "too bright"),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 5), "blurred"),
        (lambda image: on_grey(image, 1.0, left=-240), "partly outside the picture"),
    ],
)
def test_poor_face_is_tracked_with_its_reason(spoil, reason):
    assert reasons(spoil(image) for image in clip("single_face.mp4")[:5]) == {reason}


def test_face_turned_away_is_not_analysed():
    (reason,) = reasons(clip("45-m7-di-ph.jpg"))
    assert reason.startswith("turned away 4")
    assert reason.endswith(" degrees")


@pytest.mark.parametrize(
    ("name", "yaw_deg"), [("0-f15-hao-ph.jpg", 0), ("15-f13-anc-ph.jpg", -15), ("45-m7-di-ph.jpg", -45)]
)
def test_pose_equals_the_known_angles_of_portraits(name, yaw_deg):
    nets = FaceNets("wide")
    (image,) = clip(name)
    landmarks = nets.mesh(image, nets.mesh(image, nets.detect(image)[0]).landmarks).landmarks
    yaw, pitch, roll = pose_deg(landmarks)
    assert abs(yaw - yaw_deg) < 6
    assert abs(pitch) < 12
    assert abs(roll) < 6


@pytest.mark.parametrize(("light", "bit_rate"), [(1.0, 300_000), (0.3, 1_500_000)])
def test_ordinary_webcam_is_good_enough(light, bit_rate):
    """A face of 90 px width at 640x480, with noise, through H.264, in good light and in little."""
    rng = np.random.default_rng(0)
    images = [light * on_grey(image, 0.6) for image in clip("single_face.mp4")[:40]]
    noisy = [(image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8) for image in images]
    assert reasons(through_h264(noisy, bit_rate)) == {""}


def through_h264(images, bit_rate):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.bit_rate = images[0].shape[1], images[0].shape[0], bit_rate
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    with av.open(io.BytesIO(file.getvalue())) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_settings_out_of_range_name_field_and_value():
    with pytest.raises(UserError, match="FaceSettings.min_presence is 7: choose 0 to 1"):
        FaceSettings(min_presence=7)
    with pytest.raises(UserError, match="FaceSettings.forget_s is -1: choose 0 or more"):
        FaceSettings(forget_s=-1)
    with pytest.raises(UserError, match="min_exposure is 0.5: choose less than max_exposure, 0.4"):
        FaceSettings(min_exposure=0.5, max_exposure=0.4)
