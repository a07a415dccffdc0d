"""Micro-batching, on a trunk that notes how many rows came at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from merau.engine.errors import DeviceError
from merau.engine.runtimes.batching import Batcher


class Noting:
    """Gives back the first value and twice it, once it may `go`."""

    def __init__(self):
        self.rows, self.go, self.began = [], threading.Event(), threading.Event()

    def embed(self, *, flow):
        self.rows.append(len(flow))
        self.began.set()
        assert self.go.wait(20)
        if (flow < 0).any():
            raise DeviceError("The GPU fell out.")
        return flow[:, :1], 2 * flow[:, :1]


def ask(batcher, value):
    return batcher.embed(flow=np.full((1, 4), value, np.float32))


def await_asked(batcher, count):
    deadline_s = time.monotonic() + 20
    while batcher._requests.qsize() < count and time.monotonic() < deadline_s:
        time.sleep(0.001)


def test_concurrent_requests_share_one_run():
    trunk = Noting()
    batcher = Batcher(trunk.embed, wait_s=0.05, max_rows=8)
    with ThreadPoolExecutor(17) as cameras:
        first = cameras.submit(ask, batcher, 0)
        assert trunk.began.wait(20)  # alone: nobody else asked within the wait
        others = [cameras.submit(ask, batcher, value) for value in range(1, 17)]
        await_asked(batcher, 16)
        trunk.go.set()
        assert first.result()[0] == 0
        for value, other in enumerate(others, 1):
            embedding, au_logits = other.result()
            assert embedding.shape == (1, 1)
            assert embedding == value
            assert au_logits == 2 * value
    assert trunk.rows == [1, 8, 8]
    batcher.close()


def test_error_reaches_every_request_of_its_run_only():
    trunk = Noting()
    batcher = Batcher(trunk.embed, wait_s=0)
    with ThreadPoolExecutor(4) as cameras:
        first = cameras.submit(ask, batcher, 1)
        assert trunk.began.wait(20)
        others = [cameras.submit(ask, batcher, -1) for _ in range(3)]
        await_asked(batcher, 3)
        trunk.go.set()
        assert first.result()[0] == 1
        for other in others:
            with pytest.raises(DeviceError, match="fell out"):
                other.result(timeout=20)
    assert ask(batcher, 3)[0] == 3
    assert trunk.rows == [1, 3, 1]
    batcher.close()


def test_request_that_is_not_answered_raises():
    trunk = Noting()
    batcher = Batcher(trunk.embed, wait_s=0, limit_s=0.01)
    with pytest.raises(DeviceError, match=r"did not answer within 0\.01 s"):
        ask(batcher, 1)
    trunk.go.set()
    batcher.close()
    with pytest.raises(DeviceError):
        ask(batcher, 2)
