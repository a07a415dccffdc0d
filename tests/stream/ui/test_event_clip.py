import io
import tracemalloc

import av
import cv2
import numpy as np
import pytest

from merau.stream.ui.event_clip import StoredFrame, blurred, bounds_s, encode, frames_of


@pytest.fixture
def stills():
    """A face of 100 px that brightens, at a rate that changes half-way."""
    times = np.concatenate([np.arange(0, 1, 1 / 30), np.arange(1, 2, 1 / 12)])
    kept = []
    for t_s in times:
        image = np.full((240, 320, 3), 40, np.uint8)
        image[70:170, 110:210] = np.random.default_rng(0).integers(0, 255, (100, 100, 3))
        jpeg = cv2.imencode(".jpg", image)[1].tobytes()
        kept.append(StoredFrame(float(t_s), jpeg, {1: (110.0, 70.0, 210.0, 170.0)}))
    return kept


def pictures(mp4):
    with av.open(io.BytesIO(mp4)) as film:
        return [(picture.time, picture.to_ndarray(format="bgr24")) for picture in film.decode(video=0)]


def test_a_film_has_every_picture_of_the_event_at_its_own_time(stills, make_event):
    event = make_event(apex_s=1.0)
    start_s, end_s = bounds_s(event)
    wanted = [still.t_s for still in stills if start_s <= still.t_s <= end_s]
    film = pictures(encode(frames_of(stills, event), event))
    assert [t_s for t_s, _ in film] == pytest.approx([t_s - wanted[0] for t_s in wanted], abs=2e-4)
    height, width = film[0][1].shape[:2]
    assert 150 < width < 180
    assert 150 < height < 180


def test_there_is_no_film_of_a_face_that_was_not_there(stills, make_event):
    for event in (make_event(apex_s=9.0), make_event(track=2)):
        assert encode(frames_of(stills, event), event) is None


def test_a_long_film_takes_no_more_memory_than_a_short_one(stills, make_event):
    def most_bytes(chosen):
        tracemalloc.start()
        try:
            encode(chosen, make_event(apex_s=1.0))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert most_bytes(stills) < 1.2 * most_bytes(stills[: len(stills) // 2])


def test_a_blurred_film_keeps_the_times_and_hides_the_face(stills, make_event):
    event = make_event(apex_s=1.0)
    plain = encode(frames_of(stills, event), event)
    hidden = pictures(blurred(plain))
    assert [t_s for t_s, _ in hidden] == [t_s for t_s, _ in pictures(plain)]
    detail = [cv2.Laplacian(image[:, :, 1], cv2.CV_64F).var() for _, image in (pictures(plain)[5], hidden[5])]
    assert detail[1] < 0.1 * detail[0]
