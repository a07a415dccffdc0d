"""Delivers the alarms of one receiver, one after the other."""

import logging
import random
import threading
import time
from typing import Protocol

from merau.engine.errors import UserError
from merau.stream.guard import Guard
from merau.stream.service.alerts.queue import MAX_PAUSE_S, AlarmQueue, Delivery

LOG = logging.getLogger(__name__)
POLL_S = 0.5
FIRST_PAUSE_S = 1.0  # after a failed try; it doubles with each
MAX_RECEIVER_PAUSE_S = 30.0  # between tries of different alarms, while the receiver takes none
CLOSE_LIMIT_S = 5.0  # for what is due when the service stops


class DeliveryError(UserError):
    """The receiver did not take an alarm; it may take it later."""


class Receiver(Protocol):
    """Who can be told of an alarm.

    Attributes:
        name: Name of the receiver in the queue.
        give_up_s: After this time an alarm is set aside; None tries for ever.
    """

    name: str
    give_up_s: float | None

    @property
    def is_ready(self) -> bool:
        """Whether a try makes sense."""
        ...

    def deliver(self, delivery: Delivery) -> None:
        """Deliver one alarm. Raises DeliveryError when the receiver does not take it."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Courier:
    """A thread that delivers what the queue holds for one receiver, from the start until `close`.

    Attributes:
        receiver: Whom it tells.
        delivered: Alarms that the receiver took.
        failures: Tries that failed.
        last_error: Why the last try failed; "" where it did not.
    """

    def __init__(self, receiver: Receiver, queue: AlarmQueue) -> None:
        self.receiver, self._queue = receiver, queue
        self.delivered = self.failures = 0
        self.last_error = ""
        self._failed_in_a_row = 0
        self._unnoted: Delivery | None = None  # was delivered, and the queue does not know yet
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._close_by_s = float("inf")
        self._guard = Guard(f"alarms for {receiver.name}")
        self._thread = threading.Thread(target=self._run, name=f"alarms {receiver.name}", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether an internal error cost something."""
        return self._guard.failed

    def wake(self) -> None:
        """Look at the queue at once."""
        self._wake.set()

    def close(self) -> None:
        """Deliver what is due, within some seconds, and stop. What is left stays in the queue."""
        self._close_by_s = time.monotonic() + CLOSE_LIMIT_S
        self._closing.set()
        self._wake.set()
        self._thread.join(2 * CLOSE_LIMIT_S)
        self.receiver.close()

    def _run(self) -> None:
        while time.monotonic() < self._close_by_s:
            pause_s: float | None = POLL_S
            with self._guard.item():
                pause_s = self._step()
            if pause_s is None and self._closing.is_set():
                return
            if pause_s != 0:
                self._wait(POLL_S if pause_s is None else pause_s)

    def _wait(self, pause_s: float) -> None:
        if self._failed_in_a_row:  # a new alarm is no reason to ask a receiver again that does not answer
            self._closing.wait(pause_s)
            if self._closing.is_set():
                time.sleep(min(pause_s, POLL_S))
        else:
            self._wake.wait(pause_s)
            self._wake.clear()

    def _step(self) -> float | None:
        """Try one alarm; returns the pause before the next, None where nothing is due."""
        self._note_delivered()  # before anything else: a full disk must not have it delivered again
        if not self.receiver.is_ready:
            return None if self._closing.is_set() else POLL_S
        if (delivery := self._queue.next_due(self.receiver.name)) is None:
            return None
        try:
            self.receiver.deliver(delivery)
        except DeliveryError as error:
            return self._note_failure(delivery, str(error))
        self.delivered += 1
        self._failed_in_a_row, self.last_error = 0, ""
        self._unnoted = delivery
        self._note_delivered()
        return 0

    def _note_delivered(self) -> None:
        if self._unnoted:
            self._queue.note_delivered(self._unnoted)
            self._unnoted = None

    def _note_failure(self, delivery: Delivery, reason: str) -> float:
        if reason != self.last_error:
            LOG.warning("%s", reason)
        self.failures += 1
        self._failed_in_a_row += 1
        self.last_error = reason
        give_up_s = self.receiver.give_up_s
        if give_up_s is not None and time.time() - delivery.put_s > give_up_s:
            LOG.error("%s: the alarm %s is set aside: %s", self.receiver.name, delivery.key, reason)
            self._queue.set_aside(delivery, reason)
        else:
            self._queue.note_failed(delivery, reason, _pause_s(delivery.tries, MAX_PAUSE_S))
        return _pause_s(self._failed_in_a_row - 1, MAX_RECEIVER_PAUSE_S)


def _pause_s(failed: int, limit_s: float) -> float:
    """Return the pause after `failed` earlier failures; spread, so that many services do not come at once."""
    longest_s = min(limit_s, FIRST_PAUSE_S * 2.0 ** min(failed, 30))
    return longest_s * random.uniform(0.8, 1.0)
