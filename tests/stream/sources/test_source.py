"""Queue, clock and settings of all sources."""

import threading

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.stream.sources import Frame, SourceSettings
from merau.stream.sources.source import Clock, FrameQueue


def numbered(index: int) -> Frame:
    return Frame(np.zeros((1, 1, 3), np.uint8), index / 30, index, 0.0)


def test_queue_drops_the_oldest_first():
    queue = FrameQueue(3)
    assert [queue.put_now(numbered(k)) for k in range(5)] == [0, 0, 0, 1, 1]
    queue.close()
    assert [queue.get().index for _ in range(3)] == [2, 3, 4]
    assert queue.get() is None


def test_queue_waits_for_room_until_closed():
    queue = FrameQueue(1)
    producer = threading.Thread(target=lambda: [queue.put(numbered(k)) for k in range(10)])
    producer.start()
    assert [queue.get().index for _ in range(5)] == [0, 1, 2, 3, 4]
    queue.close(discard=True)
    producer.join(timeout=5)
    assert not producer.is_alive()
    assert queue.get() is None


def test_clock_only_grows():
    clock = Clock()
    assert clock.place(7.0, expected_s=0.0, latest_s=5.0) == 0.0
    assert clock.place(7.5, expected_s=0.6, latest_s=5.0) == 0.5
    assert clock.place(2.0, expected_s=1.0, latest_s=6.0) == 1.0  # set back
    assert clock.place(2.1, expected_s=1.2, latest_s=6.0) == pytest.approx(1.1)
    assert clock.place(900.0, expected_s=1.3, latest_s=6.0) == 1.3  # set forward
    assert clock.place(None, expected_s=1.4, latest_s=6.0) == 1.4
    clock.restart()
    assert clock.place(0.0, expected_s=9.0, latest_s=14.0) == 9.0
    assert clock.place(0.1, expected_s=9.9, latest_s=14.0) == pytest.approx(9.1)


def test_tolerant_clock_nudges_small_steps_back():
    clock = Clock(tolerance_s=0.5)
    placed = [clock.place(t_s, expected_s=0.0, latest_s=9.0) for t_s in (5.0, 5.1, 5.1, 5.0, 5.2)]
    assert placed == pytest.approx([0.0, 0.1, 0.101, 0.102, 0.2])
    assert clock.place(1.0, expected_s=0.3, latest_s=9.0) == 0.3  # another recording
    still = [clock.place(1.0, expected_s=(clock.t_s or 0) + 0.1, latest_s=99.0) for _ in range(300)]
    assert still[-1] > 10  # a clock that stands still tells nothing


def test_settings_out_of_range_name_the_field():
    bad = {"queue_frames": 0, "freeze_timeout_s": 0.0, "transport": "carrier pigeon", "backoff_limit_s": 0.1}
    for field, value in bad.items():
        with pytest.raises(UserError, match=f"SourceSettings.{field} is .*{value}.*: choose"):
            SourceSettings(**{field: value})
