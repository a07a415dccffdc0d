"""Runs the cameras of a configuration on the nodes of a Ray cluster, and follows changes of the configuration."""

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from merau.engine.recognizer import Recognizer
from merau.stream.events import Consent
from merau.stream.guard import Guard
from merau.stream.service.config import CameraConfig, ServiceConfig
from merau.stream.service.events import CameraEvent, CameraStatus
from merau.stream.service.fleet.camera import FleetCamera
from merau.stream.service.fleet.node import CameraJob
from merau.stream.service.fleet.placement import Placement
from merau.stream.sources import SourceSettings
from merau.stream.store import Store
from merau.stream.store.writer import now

PURGE_EVERY_S = 60.0
STOP_LIMIT_S = 10.0


class Fleet:
    """Keeps the cameras of a configuration running on a cluster, from `start` until `close`.

    The nodes only analyse. This process places the cameras, takes what the nodes found, and alone writes to the store.

    Args:
        store: Where sessions go.
        ray: The module, connected to a cluster.
        on_event: Is told each report of an event, once it was put into the store.
        clock: Tells the time that schedules go by, with its zone.
    """

    def __init__(
        self,
        store: Store,
        ray: Any,
        on_event: Callable[[CameraEvent], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._store, self._ray, self._on_event, self._clock = store, ray, on_event, clock
        self._placement = Placement(ray)
        self._cameras: dict[str, FleetCamera] = {}
        self._guard = Guard("fleet")
        self._limit_gb: float | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._purge, name="fleet", daemon=True)

    @property
    def failed(self) -> bool:
        """Whether an internal error cost something."""
        return self._guard.failed or any(camera.failed for camera in list(self._cameras.values()))

    @property
    def threads(self) -> dict[str, bool]:
        """Whether each thread that must run does, by its name."""
        cameras = {f"fleet {camera.config.name}": camera.is_alive for camera in list(self._cameras.values())}
        return cameras | {"fleet": self._thread.is_alive()}

    def start(self, config: ServiceConfig) -> None:
        """Start the cameras."""
        self.apply(config)
        self._thread.start()

    def apply(self, config: ServiceConfig) -> None:
        """Follow a configuration: cameras whose settings are the same run on, untouched."""
        wanted = {camera.name: camera for camera in config.cameras}
        self._limit_gb = config.store_gb
        changed = [name for name, camera in self._cameras.items() if wanted.get(name) != camera.config]
        for name in changed:
            self._cameras.pop(name).stop()
        cameras = {name: self._cameras.get(name) or self._add(camera) for name, camera in wanted.items()}
        self._cameras = cameras  # in the order of the file

    def status(self) -> list[CameraStatus]:
        """Return the state of every camera of the configuration, in its order. May be called from any thread."""
        return [camera.status() for camera in list(self._cameras.values())]

    def close(self) -> None:
        """Stop all cameras and store the rest."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_LIMIT_S)
        stopping = [threading.Thread(target=camera.stop, daemon=True) for camera in self._cameras.values()]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()

    def _add(self, config: CameraConfig) -> FleetCamera:
        consent = Consent(config.purpose, now(), config.consent or "") if config.purpose else None
        source = SourceSettings(
            paced=True, wait_for_camera=True, keep_trying=True, transport=config.transport, decode=config.decode
        )
        load = partial(_load, config.recognizer)
        retention = config.retention.as_recorded
        job = CameraJob(config.name, config.address, source, config.pipeline, load, consent, retention)
        camera = FleetCamera(config, job, self._store, self._ray, self._placement, self._on_event, self._clock)
        camera.start()
        return camera

    def _purge(self) -> None:
        while not self._closing.wait(PURGE_EVERY_S):
            with self._guard.item():
                self._store.purge_expired()
                if self._limit_gb is not None:
                    self._store.purge_to_size(self._limit_gb * 1e9)


def _load(settings: dict[str, Any]) -> Recognizer:
    """Load a recognizer on a node, ready to run."""
    from merau.stream.commands.options import prepare

    return prepare(Recognizer.load(**settings))
