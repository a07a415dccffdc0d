"""Runs the cameras of a configuration, each for itself, and follows changes of the configuration."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.stream.capacity import SIZES, Kind, measure
from merau.stream.events import Consent, Event
from merau.stream.guard import Guard
from merau.stream.service.config import CameraConfig, CameraSettings, ServiceConfig
from merau.stream.service.events import CameraEvent, CameraState, CameraStatus
from merau.stream.service.overload import STEPS, Overload
from merau.stream.sources import Source, SourceSettings, open_source
from merau.stream.store.writer import now
from merau.stream.ui.camera_worker import Camera, CameraSetup
from merau.stream.ui.workspace import Workspace

LOG = logging.getLogger(__name__)
TICK_S = 0.5
PURGE_EVERY_S = 60.0
RETRY_FIRST_S, RETRY_LIMIT_S = 2.0, 60.0  # before a camera whose analysis failed is started again
STOP_LIMIT_S = 10.0


@dataclass
class _Supervised:
    """A camera of the configuration."""

    config: CameraConfig
    camera: Camera
    retry_s: float = 0.0  # on the monotonic clock
    pause_s: float = RETRY_FIRST_S
    state: CameraState | None = None  # as it was logged
    obstacle: str = ""  # why it has not connected yet, as it was logged
    since: datetime = datetime.min.replace(tzinfo=UTC)


class Supervisor:
    """Keeps the cameras of a configuration running in a workspace, from `start` until `close`.

    A thread starts and stops each camera by its schedule, starts one again whose analysis failed, and deletes what is
    older than its retention. Cameras that were added on a page are left alone, but their events are told, too.

    Args:
        workspace: Where the cameras run; whoever opened it closes it, after the supervisor.
        common: Settings by which the workspace loads its recognizers.
        on_event: Is told each report of an event, in the camera's thread. An error of it is logged.
        clock: Tells the time that schedules go by, with its zone.
    """

    def __init__(
        self,
        workspace: Workspace,
        common: CameraSettings,
        on_event: Callable[[CameraEvent], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._workspace, self._common, self._on_event, self._clock = workspace, common, on_event, clock
        self._supervised: dict[str, _Supervised] = {}
        self._closing = threading.Event()
        self._guard = Guard("supervisor")
        self._event_guard = Guard("events")
        self._purged_s = time.monotonic()
        self._overload = Overload()
        self._degrades = True
        self._carried: int | None = None  # cameras, once that was measured
        self._limit_gb: float | None = None
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        workspace.on_event = self._announce

    @property
    def failed(self) -> bool:
        """Whether an internal error cost something."""
        cameras = [supervised.camera for supervised in self._all()]
        return self._guard.failed or self._event_guard.failed or any(camera.failed for camera in cameras)

    @property
    def threads(self) -> dict[str, bool]:
        """Whether its thread runs, by its name."""
        return {self._thread.name: self._thread.is_alive()}

    def start(self, config: ServiceConfig) -> None:
        """Start the cameras. Raises UserError when a recognizer cannot be loaded."""
        self.apply(config)
        self._thread.start()

    def apply(self, config: ServiceConfig) -> None:
        """Follow a configuration: cameras whose settings are the same run on, untouched.

        Raises:
            UserError: A recognizer cannot be loaded; then nothing has changed.
        """
        wanted = {camera.name: camera for camera in config.cameras}
        kept = {name for name, one in self._supervised.items() if wanted.get(name) == one.config}
        self._limit_gb = config.store_gb
        if config.overload == "refuse":
            self._refuse_overload(config)
        self._degrades = config.overload == "degrade"
        setups = {name: self._setup(camera) for name, camera in wanted.items() if name not in kept}
        with self._workspace.changing:
            for name in [name for name in self._supervised if name not in kept]:
                removed = self._supervised.pop(name)
                with self._guard.item():
                    self._remove(removed.camera)
            for name, setup in setups.items():
                self._supervised[name] = self._add(wanted[name], setup)
            self._supervised = {name: self._supervised[name] for name in wanted}  # in the order of the file
        self._tick()

    def status(self) -> list[CameraStatus]:
        """Return the state of every camera of the configuration, in its order. May be called from any thread."""
        return [self._status(supervised) for supervised in self._all()]

    def close(self) -> None:
        """Start and delete nothing more; the cameras are stopped with the workspace."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_LIMIT_S)

    def _all(self) -> list[_Supervised]:
        return list(self._supervised.values())

    def _setup(self, config: CameraConfig) -> CameraSetup:
        consent = Consent(config.purpose, now(), config.consent or "") if config.purpose else None
        is_common = config.recognizer == self._common.recognizer
        recognizer = None if is_common else Recognizer.load(**config.recognizer)
        pipeline = config.pipeline
        if detector := self._overload.step.detector:
            pipeline = replace(pipeline, faces=replace(pipeline.faces, detector=detector))
        return CameraSetup(
            config.group, consent, pipeline, recognizer, config.retention.as_recorded, config.clips.settings
        )

    def _add(self, config: CameraConfig, setup: CameraSetup) -> _Supervised:
        settings = SourceSettings(
            paced=True, wait_for_camera=True, keep_trying=True, transport=config.transport, decode=config.decode
        )
        open_camera: Callable[[], Source] = partial(open_source, config.address, settings)
        camera = self._workspace.add_camera(config.name, open_camera, replay=config.is_recording, setup=setup)
        return _Supervised(config, camera)

    def _remove(self, camera: Camera) -> None:
        if camera.number in self._workspace.cameras:  # not removed on a page
            self._workspace.remove_camera(camera.number)

    def _run(self) -> None:
        while not self._closing.wait(TICK_S):
            with self._guard.item():
                self._tick()
            if time.monotonic() - self._purged_s > PURGE_EVERY_S:
                self._purged_s = time.monotonic()
                with self._guard.item():
                    self._purge()

    def _purge(self) -> None:
        self._workspace.purge()
        if self._limit_gb:
            self._workspace.store.purge_to_size(1e9 * self._limit_gb)

    def _tick(self) -> None:
        """Start and stop the cameras as their schedules have it, and log what has changed."""
        with self._workspace.changing:
            for supervised in self._all():
                with self._guard.item():
                    self._follow_schedule(supervised)
            self._follow_load()
        self._log_changes()

    def _follow_schedule(self, supervised: _Supervised) -> None:
        camera = supervised.camera
        if camera.number not in self._workspace.cameras or self._closing.is_set():  # removed on a page
            return
        camera.is_off = not supervised.config.is_on(self._clock())
        if camera.is_off:
            if camera.running:
                camera.stop()
        elif not camera.running and self._may_start(supervised):
            camera.start(self._workspace.consent)

    def _refuse_overload(self, config: ServiceConfig) -> None:
        """Raise UserError where the machine cannot carry the cameras of a configuration."""
        if self._carried is None:
            kind = Kind(*SIZES[0], config.defaults.detector)
            self._carried = measure(kind, lambda: Recognizer.load(**self._common.recognizer)).cameras
        wanted = sum(not camera.is_recording for camera in config.cameras)
        if wanted > self._carried:
            raise UserError(
                "This machine carries {carried} cameras of 640x480 px, and the configuration has {wanted}: take some "
                "out, or choose `overload: degrade`. `merau bench --capacity` measures other kinds of cameras.",
                carried=self._carried,
                wanted=wanted,
            )

    def _follow_load(self) -> None:
        """Ease the analysis where cameras drop frames, and take that back when they have long dropped none."""
        cameras = [camera for camera in list(self._workspace.cameras.values()) if not camera.replay]
        counts = [camera.counts for camera in cameras]
        frames, dropped = sum(count[0] for count in counts), sum(count[1] for count in counts)
        detector = self._overload.step.detector
        if self._degrades and self._overload.observe(time.monotonic(), frames, dropped):
            LOG.warning("The machine is %s: %s.", *self._describe_load())
        for camera in cameras:
            camera.every = self._overload.step.every
        if self._overload.step.detector != detector:
            self._change_detectors()

    def _describe_load(self) -> tuple[str, str]:
        is_easier = self._overload.step is STEPS[0]
        return "fast enough again" if is_easier else "too slow for its cameras", self._overload.step.text

    def _change_detectors(self) -> None:
        """Start the cameras again whose detector is another one now: what finds a face is part of a session."""
        detector = self._overload.step.detector
        for name, supervised in list(self._supervised.items()):
            if supervised.config.detector != (detector or "short"):
                with self._guard.item():
                    self._remove(supervised.camera)
                    self._supervised[name] = self._add(supervised.config, self._setup(supervised.config))

    def _may_start(self, supervised: _Supervised) -> bool:
        """Whether the camera has consent and is not over; each failure is followed by a longer pause."""
        camera = supervised.camera
        if camera.replay:
            return camera.session is None and camera.error is None
        if camera.needs_consent and self._workspace.consent is None:
            return False
        if camera.error is None:
            supervised.pause_s = RETRY_FIRST_S
            return True
        now_s = time.monotonic()
        if not supervised.retry_s:
            supervised.retry_s = now_s + supervised.pause_s
            supervised.pause_s = min(2 * supervised.pause_s, RETRY_LIMIT_S)
        if now_s < supervised.retry_s:
            return False
        supervised.retry_s = 0.0
        return True

    def _announce(self, camera: Camera, session: int, event: Event) -> None:
        with self._event_guard.item():
            wall = datetime.fromisoformat(event.onset_wall) if event.onset_wall else datetime.now(UTC)
            self._on_event(CameraEvent(camera.name, camera.group, session, event, wall))

    def _status(self, supervised: _Supervised) -> CameraStatus:
        camera = supervised.camera
        status = camera.status()
        state = self._state(supervised, status["phase"])
        has_reason = state in ("connecting", "lost", "failed", "ended")
        return CameraStatus(
            name=camera.name,
            group=camera.group,
            state=state,
            since=supervised.since if state == supervised.state else datetime.now(UTC),
            error=str(status["reason"]) if has_reason else "",
            session=camera.session,
            fps=status["captured_hz"] if state == "live" else 0.0,
            analysed_fps=status["analysed_hz"] if state == "live" else 0.0,
            dropped=status["dropped"],
            degraded="" if self._overload.step is STEPS[0] or camera.replay else self._overload.step.text,
        )

    def _state(self, supervised: _Supervised, phase: str) -> CameraState:
        camera = supervised.camera
        if camera.error is not None:
            return "failed"
        if camera.running:
            return "live" if phase == "live" else "lost" if phase == "lost" else "connecting"
        if camera.is_off or camera.number not in self._workspace.cameras:
            return "off"
        if camera.replay:
            return "ended"
        return "waiting" if camera.needs_consent and self._workspace.consent is None else "connecting"

    def _log_changes(self) -> None:
        for supervised in self._all():
            status = self._status(supervised)
            obstacle = status.error if status.state == "connecting" else ""
            if (status.state, obstacle) != (supervised.state, supervised.obstacle):
                supervised.state, supervised.obstacle, supervised.since = status.state, obstacle, status.since
                level = logging.WARNING if obstacle or status.state in ("lost", "failed") else logging.INFO
                text = ": ".join(part for part in (status.name, status.state, status.error) if part)
                LOG.log(level, "%s", text, extra={"camera": status.name})
