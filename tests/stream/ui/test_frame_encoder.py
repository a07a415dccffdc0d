import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from merau.stream.faces import Face, Quality
from merau.stream.pipeline import FrameResult
from merau.stream.sources import Frame
from merau.stream.ui.frame_encoder import MAX_PENDING_CLIPS, MAX_WIDTH_PX, EncoderOutputs, FrameEncoder

EVENTS = 3 * MAX_PENDING_CLIPS


def result_of(image, t_s, events=()):
    landmarks = np.random.default_rng(0).uniform(60, 200, (468, 3)).astype(np.float32)
    face = Face(1, landmarks, Quality(90.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.5, None, 1.0))
    return FrameResult(Frame(image, t_s, round(10 * t_s), 0.0), [face], [], {1: 0.1}, {1: 0.1}, list(events), 0.0)


@pytest.fixture
def results(make_event):
    """Thirty seconds of a face with more events than clips may wait."""
    events = [make_event(apex_s=1 + 29 * i / EVENTS, embedding=b"\0\0\0\0") for i in range(EVENTS)]
    image = np.zeros((240, 320, 3), np.uint8)
    return [
        result_of(image, i / 10, [event for event in events if 0 <= i / 10 - event.offset_s < 0.1]) for i in range(300)
    ]


@pytest.mark.parametrize("drops", [True, False])
def test_push_slow_clip_encoder_drops_clips_or_holds_up(results, drops):
    clips, may_encode = [], threading.Event()
    with ThreadPoolExecutor(1) as clip_encoder:
        clip_encoder.submit(may_encode.wait)
        outputs = EncoderOutputs(lambda frame: None, lambda: False, lambda event, mp4: clips.append(mp4), clip_encoder)
        encoder = FrameEncoder(0, outputs, sends_images=False, drops=drops)
        pushing = threading.Thread(target=lambda: [encoder.push(result) for result in results] and encoder.end())
        pushing.start()
        pushing.join(None if drops else 0.5)
        assert pushing.is_alive() != drops  # a recording is held up, a camera is not
        may_encode.set()
        pushing.join()
    assert len(clips) <= MAX_PENDING_CLIPS if drops else len(clips) == EVENTS


def test_push_goes_on_after_an_error(results):
    frames = []

    def send(frame):
        frames.append(frame)
        if len(frames) == 1:
            raise ZeroDivisionError("a fault of our own")

    with ThreadPoolExecutor(1) as clip_encoder:
        outputs = EncoderOutputs(send, lambda: True, lambda event, mp4: None, clip_encoder)
        encoder = FrameEncoder(0, outputs, sends_images=False, drops=False)
        pushing = threading.Thread(
            target=lambda: [encoder.push(r) for r in results[:40]] and encoder.end(), daemon=True
        )
        pushing.start()
        pushing.join(60)
    assert len(frames) == 40


@pytest.mark.parametrize("sends_images", [True, False])
def test_push_sends_frames_with_frame_coordinates(sends_images):
    frames = []
    with ThreadPoolExecutor(1) as clip_encoder:
        outputs = EncoderOutputs(frames.append, lambda: True, lambda event, mp4: None, clip_encoder)
        encoder = FrameEncoder(3, outputs, sends_images=sends_images, drops=False)
        encoder.push(result_of(np.zeros((480, 2 * MAX_WIDTH_PX, 3), np.uint8), 0.5))
        encoder.end()
    (frame,) = frames
    assert frame.camera == 3
    assert frame.header["t_s"] == 0.5
    assert frame.header["size"] == [2 * MAX_WIDTH_PX, 480]
    assert all(60 <= value <= 200 for value in frame.header["faces"][0]["box"])
    assert frame.points == ((0.5, 1, 0.1, 0.1),)
    assert len(frame.mesh) == 468 * 2 * 2
    assert bool(frame.jpeg) == sends_images
