"""Micro-batching: requests of several cameras within a moment of each other are answered in one run of a trunk."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from merau.engine.errors import DeviceError, UserError

ANSWER_LIMIT_S = 60.0  # a run takes milliseconds: after this time the GPU hangs

TrunkOutput = tuple[np.ndarray, np.ndarray]  # embeddings (N, d) and Action Unit logits (N, 17)


class Trunk(Protocol):
    """A net that turns flow or crops into embeddings and Action Unit logits."""

    def embed(self, **inputs: np.ndarray) -> TrunkOutput:
        """Run the net on inputs by name, batch first."""
        ...


def check_inputs(inputs: Mapping[str, np.ndarray], row: Mapping[str, tuple[int, ...]]) -> None:
    """Check the inputs of an engine.

    Args:
        inputs: Arrays by name, batch first.
        row: The expected shape of one row of each input.

    Raises:
        UserError: An input is missing, unknown or of another shape, or the inputs differ in length.
    """
    count = max((len(value) for value in inputs.values()), default=1)
    expected = {name: (count, *shape) for name, shape in row.items()}
    given = {name: value.shape for name, value in inputs.items()}
    for name in expected | given:
        if expected.get(name) != given.get(name):
            takes, seen = expected.get(name, "none"), given.get(name, "none")
            raise UserError(f"Input {name!r}: the engine takes {takes}, but is given {seen}.")


@dataclass
class _Request:
    inputs: dict[str, np.ndarray]
    output: Future[TrunkOutput] = field(default_factory=Future)

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))


class Batcher:
    """Runs the requests of all threads together, in a thread of its own. It is itself a Trunk.

    Args:
        run: A trunk's `embed`, or another function from rows to two arrays with as many rows. Its exceptions are
            raised in each thread whose request was part of the run.
        wait_s: How long the first request waits for others.
        max_rows: Number of rows at which a run starts without waiting longer.
        limit_s: How long a request waits for its output.
    """

    def __init__(
        self,
        run: Callable[..., TrunkOutput],
        *,
        wait_s: float = 0.002,
        max_rows: int = 64,
        limit_s: float = ANSWER_LIMIT_S,
    ) -> None:
        self._run, self._wait_s, self._max_rows, self._limit_s = run, wait_s, max_rows, limit_s
        self._requests: queue.Queue[_Request | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def embed(self, **inputs: np.ndarray) -> TrunkOutput:
        """Implement the `Trunk` protocol."""
        return self(**inputs)

    def __call__(self, **inputs: np.ndarray) -> TrunkOutput:
        """Run the request and wait for its output.

        Raises:
            DeviceError: There is no output within `limit_s`.
        """
        request = _Request(inputs)
        self._requests.put(request)
        try:
            return request.output.result(self._limit_s)
        except TimeoutError:
            request.output.cancel()  # nobody waits for it any more
            raise DeviceError("The GPU did not answer within {seconds} s.", seconds=f"{self._limit_s:g}") from None

    def close(self) -> None:
        """Answer the pending requests and stop."""
        self._requests.put(None)
        self._thread.join()

    def _work(self) -> None:
        while batch := self._gather():
            try:
                names = batch[0].inputs
                together = {name: np.concatenate([request.inputs[name] for request in batch]) for name in names}
                first, second = self._run(**together)
            except Exception as error:  # the thread of each request handles it
                for request in batch:
                    request.output.set_exception(error)
                continue
            ends = np.cumsum([request.rows for request in batch])
            for request, end in zip(batch, ends, strict=True):
                rows = slice(end - request.rows, end)
                request.output.set_result((first[rows], second[rows]))

    def _gather(self) -> list[_Request]:
        """Collect the requests of the next run; none after `close`."""
        batch: list[_Request] = []
        deadline_s = float("inf")
        while sum(request.rows for request in batch) < self._max_rows:
            try:
                request = self._requests.get(timeout=max(deadline_s - time.monotonic(), 0) if batch else None)
            except queue.Empty:
                break
            if request is None:
                if batch:
                    self._requests.put(None)  # stop after this batch
                break
            if not request.output.set_running_or_notify_cancel():  # its sender has given up
                continue
            deadline_s = min(deadline_s, time.monotonic() + self._wait_s)
            batch.append(request)
        return batch
