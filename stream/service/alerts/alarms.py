"""Tells others of events: each is filtered for each receiver, put into the queue on disk, and delivered from there."""

import json
import queue
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from merau.engine.errors import UserError
from merau.stream.events import event_fields
from merau.stream.guard import Guard
from merau.stream.service.alerts.courier import Courier, Receiver
from merau.stream.service.alerts.filters import AlarmFilter
from merau.stream.service.alerts.mqtt import Mqtt
from merau.stream.service.alerts.queue import AlarmQueue
from merau.stream.service.alerts.settings import AlertsConfig, Filter
from merau.stream.service.alerts.webhooks import Webhook
from merau.stream.service.events import CameraEvent, CameraStatus
from merau.stream.store.clock import CLOCK, iso_time

RETRY_S = 1.0  # after the queue could not be written
FORGET_EVERY_S = 3600.0
CLOSE_LIMIT_S = 10.0
NOTE_EVERY_S = 2.0
UNTOLD = timedelta(seconds=10)  # what is newer may be on its way from the store to the queue
NOTHING = ()
_KEYS = uuid.UUID("5c1f36c0-6a3c-4d0e-9d0b-4f8a2f7d1e55")


@dataclass(frozen=True)
class ReceiverStatus:
    """State of one receiver at one moment.

    Attributes:
        name: "mqtt", or "webhook:" and a name.
        waiting: Alarms that wait for their delivery.
        dead: Alarms that were set aside.
        delivered: Alarms that the receiver took since the start of the service.
        failures: Tries that failed since then.
        withheld: Events that matched and became no alarms since then, by reason: "quiet_hours", "rate_limit".
        error: Why the last try failed; "" where it did not.
    """

    name: str
    waiting: int
    dead: int
    delivered: int
    failures: int
    withheld: dict[str, int]
    error: str


@dataclass(frozen=True)
class _Served:
    """One receiver with what decides on its alarms, and counts of those that it was spared."""

    courier: Courier
    filter: AlarmFilter
    withheld: Counter[str] = field(default_factory=Counter)


class Alerts:
    """All receivers of a configuration, told from the start until `close`.

    Args:
        config: Whom to tell of what.
        path: SQLite file of the queue.

    Attributes:
        told_until: Events that were recorded before this time, as the store writes it, need not be put again; "" where
            no service ran before.

    Raises:
        UserError: The queue cannot be opened, or a receiver's settings cannot be used.
    """

    def __init__(self, config: AlertsConfig, path: Path) -> None:
        self._queue = AlarmQueue(path)
        self._mqtt: Mqtt | None = None
        self._served = self._serve(config)
        self._events: queue.SimpleQueue[tuple[CameraEvent, datetime] | AlertsConfig | None] = queue.SimpleQueue()
        self.told_until = self._queue.told_until()
        self._last_error = ""
        self._guard = Guard("alarms")
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._run, name="alarms", daemon=True)
        self._writer.start()

    @property
    def failed(self) -> bool:
        """Whether an internal error cost something."""
        return self._guard.failed or any(served.courier.failed for served in self._served)

    @property
    def error(self) -> str:
        """Why the queue cannot be written, or which thread has died; "" where all is well."""
        couriers = [served.courier for served in self._served]
        threads = [("alarms", self._writer.is_alive()), *((c.receiver.name, c.is_alive) for c in couriers)]
        dead = [name for name, is_alive in threads if not is_alive]
        return f"The thread for {dead[0]} has died." if dead else self._last_error

    def apply(self, config: AlertsConfig) -> None:
        """Follow another configuration, but for its queue, after what was put so far. Does not wait."""
        self._events.put(config)

    def put(self, event: CameraEvent) -> None:
        """Take a report of an event. Does not wait for the disk."""
        self._events.put((event, datetime.now().astimezone()))

    def show_cameras(self, cameras: Sequence[CameraStatus]) -> None:
        """Tell the state of the cameras, where it has changed."""
        if self._mqtt:
            self._mqtt.show_cameras(cameras)

    def status(self) -> list[ReceiverStatus]:
        """Return the state of each receiver. Raises UserError when the queue cannot be read."""
        counts = self._queue.counts()
        return [
            ReceiverStatus(
                name=(name := served.courier.receiver.name),
                waiting=counts.get((name, "waiting"), 0),
                dead=counts.get((name, "dead"), 0),
                delivered=served.courier.delivered,
                failures=served.courier.failures,
                withheld=dict(served.withheld),
                error=served.courier.last_error,
            )
            for served in self._served
        ]

    def close(self) -> None:
        """Put what is left into the queue, deliver what can be within seconds, and stop.

        Raises:
            UserError: Some of it could not be put into the queue.
        """
        self._events.put(None)
        self._closing.set()
        self._writer.join(CLOSE_LIMIT_S)
        self._close_couriers()
        lost = self._last_error if self._writer.is_alive() or self._last_error else ""
        self._queue.close()
        if lost:
            raise UserError("The last alarms could not be saved: {reason}", reason=lost)

    def _serve(self, config: AlertsConfig) -> "list[_Served]":
        """Connect the receivers of a configuration."""
        self._mqtt = Mqtt(config.mqtt) if config.mqtt else None
        receivers: list[tuple[Receiver, Filter]] = [(Webhook(webhook), webhook.filter) for webhook in config.webhooks]
        if self._mqtt and config.mqtt:
            receivers.insert(0, (self._mqtt, config.mqtt.filter))
        return [_Served(Courier(receiver, self._queue), AlarmFilter(filter)) for receiver, filter in receivers]

    def _close_couriers(self) -> None:
        for served in self._served:
            served.courier.close()

    def _run(self) -> None:
        forgot_s, noted_s = time.monotonic(), -NOTE_EVERY_S
        while (taken := self._next()) is not None:
            with self._guard.item():
                if isinstance(taken, AlertsConfig):
                    self._close_couriers()
                    self._served = self._serve(taken)
                elif taken != NOTHING:
                    self._queue_alarm(*taken)
                elif time.monotonic() - noted_s > NOTE_EVERY_S:  # all that was put is in the queue
                    noted_s = time.monotonic()
                    self._queue.note_told(iso_time(CLOCK.now() - UNTOLD))
            if time.monotonic() - forgot_s > FORGET_EVERY_S:
                forgot_s = time.monotonic()
                with self._guard.item():
                    self._queue.forget_old()
        with self._guard.item():
            self._queue.note_told(iso_time(CLOCK.now()))

    def _next(self) -> Any:
        """Return the next event with its time, None at the end, or NOTHING while there is none."""
        try:
            return self._events.get(timeout=NOTE_EVERY_S)
        except queue.Empty:
            return NOTHING

    def _queue_alarm(self, event: CameraEvent, now: datetime) -> None:
        for served in self._served:
            verdict = served.filter.judge(event, now)
            if verdict == "alarm":
                fields = alarm_fields(event)
                self._put(served.courier.receiver.name, fields["key"], json.dumps(fields, ensure_ascii=False))
                served.courier.wake()
            elif verdict != "no_match":
                served.withheld[verdict] += 1

    def _put(self, receiver: str, key: str, body: str) -> None:
        """Put an alarm into the queue, as often as it takes."""
        while True:
            try:
                self._queue.put(receiver, key, body)
                self._last_error = ""
                return
            except UserError as error:
                self._last_error = str(error)
                if self._closing.wait(RETRY_S):
                    raise


def alarm_fields(event: CameraEvent) -> dict[str, Any]:
    """Return an alarm as JSON fields, the same for every receiver."""
    found = event.event
    identity = f"{event.camera}/{event.session}/{found.id}/{event.wall.isoformat()}"
    return {
        "event_type": found.kind,
        "key": str(uuid.uuid5(_KEYS, identity)),
        "camera": event.camera,
        "group": event.group,
        "session": event.session,
        "time": event.wall.isoformat(timespec="milliseconds"),
        "class": None if found.uncertain or not found.label else found.label,
        "probability": round(found.probabilities[found.label], 4) if found.label in found.probabilities else None,
        "event": event_fields(found),
    }
