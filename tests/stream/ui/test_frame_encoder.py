import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from merau.stream.faces import Face, Quality
from merau.stream.pipeline import FrameResult
from merau.stream.sources import Frame
from merau.stream.ui.frame_encoder import MAX_PENDING_CLIPS, EncoderOutputs, FrameEncoder

EVENTS = 3 * MAX_PENDING_CLIPS


@pytest.fixture
def updates(make_event):
    """Thirty seconds of a face that shows something now and then."""
    landmarks = np.random.default_rng(0).uniform(60, 200, (468, 3)).astype(np.float32)
    face = Face(1, landmarks, Quality(90.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.5, None, 1.0))
    events = [make_event(apex_s=1 + 29 * i / EVENTS, embedding=b"\0\0\0\0") for i in range(EVENTS)]
    picture = np.zeros((240, 320, 3), np.uint8)
    said = [[event for event in events if 0 <= i / 10 - event.offset_s < 0.1] for i in range(300)]
    frames = [Frame(picture, i / 10, i, 0.0) for i in range(300)]
    return [FrameResult(f, [face], [], {1: 0.1}, {1: 0.1}, now, 0.0) for f, now in zip(frames, said, strict=True)]


@pytest.mark.parametrize("waits", [False, True])
def test_where_films_are_cut_too_slowly_few_wait_and_a_recording_still_gets_all_of_its(updates, waits):
    films, go_on = [], threading.Event()
    with ThreadPoolExecutor(1) as cutter:
        cutter.submit(go_on.wait)
        outputs = EncoderOutputs(lambda shot: None, lambda: False, lambda event, mp4: films.append(mp4), cutter)
        film = FrameEncoder(0, outputs, sends_pictures=False, waits=waits)
        pushing = threading.Thread(target=lambda: [film.push(update) for update in updates] and film.end())
        pushing.start()
        pushing.join(0.5 if waits else None)
        assert pushing.is_alive() == waits  # a recording is held up, a camera is not
        go_on.set()
        pushing.join()
    assert len(films) == EVENTS if waits else len(films) <= MAX_PENDING_CLIPS
