"""Many cameras, one trunk: what they ask within a moment of each other is answered in one run."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from merau.engine.errors import UserError

TrunkOutput = tuple[np.ndarray, np.ndarray]


class Trunk(Protocol):
    """What turns flows or crops into embeddings (N, d) and Action Unit logits (N, 17); inputs by name, batch first."""

    def embed(self, **inputs: np.ndarray) -> TrunkOutput: ...


def check_inputs(inputs: Mapping[str, np.ndarray], row: Mapping[str, tuple[int, ...]]) -> None:
    """Raises UserError where the `inputs` of an engine are not those of `row`, the shape of one row of each by name, or
    have not all as many rows.
    """
    count = max((len(value) for value in inputs.values()), default=1)
    wanted = {name: (count, *shape) for name, shape in row.items()}
    given = {name: value.shape for name, value in inputs.items()}
    for name in wanted | given:
        if wanted.get(name) != given.get(name):
            takes, seen = wanted.get(name, "none"), given.get(name, "none")
            raise UserError(f"Input {name!r}: the engine takes {takes}, but is given {seen}.")


@dataclass
class _Request:
    inputs: dict[str, np.ndarray]
    answer: Future[TrunkOutput] = field(default_factory=Future)


class Batcher:
    """`run` for all threads: a trunk's `embed`, or what else answers rows with two arrays of as many.

    The first who asks waits at most `wait_s` for others, and no longer than until `max_rows` rows are together; what
    `run` raises is raised in each thread that asked.
    """

    def __init__(self, run: Callable[..., TrunkOutput], *, wait_s: float = 0.002, max_rows: int = 64) -> None:
        self._run, self._wait_s, self._max_rows = run, wait_s, max_rows
        self._asked: queue.Queue[_Request | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def embed(self, **inputs: np.ndarray) -> TrunkOutput:
        """So that a batcher of a trunk is a trunk."""
        return self(**inputs)

    def __call__(self, **inputs: np.ndarray) -> TrunkOutput:
        """As `run`."""
        asked = _Request(inputs)
        self._asked.put(asked)
        return asked.answer.result()

    def close(self) -> None:
        """Answer what was asked and end."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while batch := self._gather():
            try:
                names = batch[0].inputs
                together = {name: np.concatenate([asked.inputs[name] for asked in batch]) for name in names}
                first, second = self._run(**together)
            except Exception as error:  # whoever asked knows what to do about it
                for asked in batch:
                    asked.answer.set_exception(error)
                continue
            ends = np.cumsum([rows(asked) for asked in batch])
            for asked, end in zip(batch, ends, strict=True):
                mine = slice(end - rows(asked), end)
                asked.answer.set_result((first[mine], second[mine]))

    def _gather(self) -> list[_Request]:
        """What is asked together; nothing at the end."""
        batch: list[_Request] = []
        until_s = float("inf")
        while sum(map(rows, batch)) < self._max_rows:
            try:
                asked = self._asked.get(timeout=max(until_s - time.monotonic(), 0) if batch else None)
            except queue.Empty:
                break
            if asked is None:
                if batch:
                    self._asked.put(None)  # after these
                break
            until_s = min(until_s, time.monotonic() + self._wait_s)
            batch.append(asked)
        return batch


def rows(asked: _Request) -> int:
    return len(next(iter(asked.inputs.values())))
