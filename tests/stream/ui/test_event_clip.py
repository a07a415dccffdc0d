import io
import tracemalloc

import av
import cv2
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.stream.ui.event_clip import DEFAULT_CLIP, ClipSettings, StoredFrame, blur, encode, frames_of


@pytest.fixture
def frames():
    """A face of 100 px that brightens, at a rate that changes half-way."""
    times = np.concatenate([np.arange(0, 1, 1 / 30), np.arange(1, 2, 1 / 12)])
    kept = []
    for t_s in times:
        image = np.full((240, 320, 3), 40, np.uint8)
        image[70:170, 110:210] = np.random.default_rng(0).integers(0, 255, (100, 100, 3))
        jpeg = cv2.imencode(".jpg", image)[1].tobytes()
        kept.append(StoredFrame(float(t_s), jpeg, {1: (110.0, 70.0, 210.0, 170.0)}))
    return kept


def images_of(mp4):
    with av.open(io.BytesIO(mp4)) as clip:
        return [(image.time, image.to_ndarray(format="bgr24")) for image in clip.decode(video=0)]


def test_encode_shows_every_frame_at_its_own_time(frames, make_event):
    event = make_event(apex_s=1.0)
    start_s, end_s = DEFAULT_CLIP.bounds_s(event.onset_s, event.offset_s)
    wanted = [frame.t_s for frame in frames if start_s <= frame.t_s <= end_s]
    clip = images_of(encode(frames_of(frames, event), event.track))
    assert [t_s for t_s, _ in clip] == pytest.approx([t_s - wanted[0] for t_s in wanted], abs=2e-4)
    height, width = clip[0][1].shape[:2]
    assert 150 < width < 180
    assert 150 < height < 180


def test_clip_has_the_asked_roll(frames, make_event):
    event = make_event(apex_s=1.0)
    chosen = frames_of(frames, event, ClipSettings(before_s=0.8, after_s=0.0))
    assert chosen[0].t_s == pytest.approx(event.onset_s - 0.8, abs=1 / 30)
    assert chosen[-1].t_s == pytest.approx(event.offset_s, abs=1 / 12)
    with pytest.raises(UserError, match="ClipSettings.after_s is -1: choose 0 to 20"):
        ClipSettings(after_s=-1)


def test_encode_absent_face_gives_no_clip(frames, make_event):
    for event in (make_event(apex_s=9.0), make_event(track=2)):
        assert encode(frames_of(frames, event), event.track) is None


def test_encode_long_clip_takes_no_more_memory(frames, make_event):
    def peak_bytes(chosen):
        tracemalloc.start()
        try:
            encode(chosen, 1)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak_bytes(frames) < 1.2 * peak_bytes(frames[: len(frames) // 2])


def test_blur_keeps_times_and_hides_the_face(frames, make_event):
    event = make_event(apex_s=1.0)
    plain = encode(frames_of(frames, event), event.track)
    hidden = images_of(blur(plain))
    assert [t_s for t_s, _ in hidden] == [t_s for t_s, _ in images_of(plain)]
    detail = [cv2.Laplacian(image[:, :, 1], cv2.CV_64F).var() for _, image in (images_of(plain)[5], hidden[5])]
    assert detail[1] < 0.1 * detail[0]
