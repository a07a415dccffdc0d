"""A running service as its interfaces see it: cameras, events, alarms, health."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from merau.engine.errors import UserError
from merau.stream.guard import Guard
from merau.stream.service.alerts.alarms import Alerts, ReceiverStatus
from merau.stream.service.alerts.settings import AlertsConfig
from merau.stream.service.events import CameraEvent, CameraStatus
from merau.stream.service.feed import EventFeed
from merau.stream.service.health import Health, assess
from merau.stream.service.metrics import Snapshot
from merau.stream.store import Store, read_changed_events, read_sessions

TELL_EVERY_S = 1.0
STOP_LIMIT_S = 5.0


class Service:
    """What the programming interface, the metrics and the alarms share, from the start until `close`.

    Args:
        store: Where the cameras' events go.
        alerts: Whom to tell of events; None for nobody. Whoever opened them closes them, after the cameras.

    Attributes:
        feed: Passes events on to those who listen now.
        cameras: Returns the state of each camera. Set once there are cameras.
        threads: Returns whether each thread of the cameras that must run does, by its name. Set as `cameras` is.
    """

    def __init__(self, store: Store, alerts: Alerts | None = None) -> None:
        self.store, self._alerts = store, alerts
        self.feed = EventFeed()
        self.cameras: Callable[[], Sequence[CameraStatus]] = list
        self.threads: Callable[[], dict[str, bool]] = dict
        self._guard = Guard("camera states")
        self._closing = threading.Event()
        self._teller = threading.Thread(target=self._tell_states, name="camera states", daemon=True)
        self._teller.start()

    @property
    def failed(self) -> bool:
        """Whether an internal error cost something."""
        return self._guard.failed or bool(self._alerts and self._alerts.failed)

    def put(self, event: CameraEvent) -> None:
        """Take a report of an event, once it was put into the store."""
        self.feed.put(event)
        if self._alerts:
            self._alerts.put(event)

    def follow(self, old: AlertsConfig, new: AlertsConfig) -> bool:
        """Follow a change of the alarms' configuration; False where that takes a restart.

        That is where there were none, whose queue is not open, and where the queue is another file.
        """
        can_follow = self._alerts is not None and old.queue == new.queue
        if self._alerts and can_follow:
            self._alerts.apply(new)
        return can_follow

    def catch_up(self, groups: Mapping[str, str]) -> None:
        """Tell of what an earlier service stored, and was killed before it told of it.

        Args:
            groups: The group of each camera, by its name. Sessions of others are left alone.

        Raises:
            UserError: The store cannot be read.
        """
        if self._alerts is None or not self._alerts.told_until:
            return
        titles = {session.id: session.title for session in read_sessions(self.store.path)}
        for _, event in read_changed_events(self.store.path, self._alerts.told_until):
            session = event.session or 0
            camera = titles.get(session, "")
            if camera in groups and event.onset_wall:
                wall = datetime.fromisoformat(event.onset_wall)
                self._alerts.put(CameraEvent(camera, groups[camera], session, event, wall))

    def receivers(self) -> list[ReceiverStatus]:
        """Return the state of each receiver of alarms; none where the queue cannot be read."""
        try:
            return self._alerts.status() if self._alerts else []
        except UserError:  # `Alerts.error` says so, and health shows it
            return []

    def health(self) -> Health:
        """Judge the state of the service."""
        store_error = self.store.last_error
        errors = (str(store_error) if store_error else "", self._alerts.error if self._alerts else "")
        threads = {"store": self.store.is_alive, "camera states": self._teller.is_alive(), **self.threads()}
        return assess(self.cameras(), errors, threads)

    def snapshot(self) -> Snapshot:
        """Measure what the metrics hold."""
        path = self.store.path
        size = path.stat().st_size if path.exists() else 0
        return Snapshot(self.cameras(), self.receivers(), self.feed.counts(), self.health(), size)

    def close(self) -> None:
        """Tell no states any more. Events are still taken."""
        self._closing.set()
        self._teller.join(STOP_LIMIT_S)

    def _tell_states(self) -> None:
        while not self._closing.wait(TELL_EVERY_S):
            if self._alerts:
                with self._guard.item():
                    self._alerts.show_cameras(self.cameras())
