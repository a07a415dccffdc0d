"""A store and the cameras that fill it: shared by all trusted clients, or private to one page."""

import itertools
import re
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from merau.engine.errors import Message, UserError
from merau.engine.text import plain
from merau.stream.coding import MISSED, read_missed_events
from merau.stream.events import Consent, Event
from merau.stream.guard import Guard
from merau.stream.pipeline import PipelineSettings
from merau.stream.sources import Source
from merau.stream.spotter.flow_backend import FlowBackend, describe_runtime
from merau.stream.store import MotionCurve, Session, Store, read_curves, read_events, read_sessions
from merau.stream.store.writer import now
from merau.stream.summary import MotionTraces
from merau.stream.ui.broadcast import Broadcast
from merau.stream.ui.camera_worker import Camera, CameraContext
from merau.stream.ui.outbox import ClientOutbox
from merau.stream.ui.recording import Recording
from merau.stream.ui.teaching import Load, Teaching

SHARED, PRIVATE = "server", "mine"  # names of workspaces in messages and addresses
CLIPS_LIMIT_S = 60  # within which the clips that wait must be encoded
MAX_PURPOSE = 200  # characters
_CAMERA_NUMBERS = itertools.count(1)  # unique over all workspaces: one page shows two of them


def session_number(text: str) -> int | None:
    """Return the number of a session as a page sends it; None for what is none, or larger than SQLite's numbers."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


class Workspace:
    """One store with its cameras, consent, viewers and few-shot heads. Open until `close`.

    Attributes:
        name: `SHARED` or `PRIVATE`.
        store: Keeps sessions, events, clips and labels.
        cameras: By number.
        traces: Motion in the running sessions, by session and track.
        consent: What was agreed to for the cameras, once it was recorded.
        broadcast: The pages that show this workspace.
        teaching: Labels and few-shot heads.
    """

    def __init__(
        self,
        name: str,
        store: Path,
        load: Load,
        settings: PipelineSettings,
        clip_encoder: Executor,
        retention_h: float | None = None,
    ) -> None:
        """Open the store and load a recognizer. Raises UserError where that fails.

        With a `retention_h` all that is recorded here is deleted so many hours later; else it is kept.
        """
        self.name, self._settings, self._clip_encoder, self._retention_h = name, settings, clip_encoder, retention_h
        self.store = Store(store, keep_pictures=True)
        self.cameras: dict[int, Camera] = {}
        self.traces: dict[int, MotionTraces] = {}
        self.consent: Consent | None = None
        self.broadcast = Broadcast()
        self.teaching = Teaching(self.store, load, self.cameras)

    def describe_runtimes(self) -> list[Message]:
        """Describe what runs on which device, each once: for the cameras that run, or for the next one."""
        running = {str(runtime): runtime for camera in list(self.cameras.values()) if (runtime := camera.runtime)}
        recognizer = self.teaching.recognizer
        next_runtime = describe_runtime(recognizer, FlowBackend(recognizer, self._settings.spotter.crop))
        return [running[text] for text in sorted(running)] or [next_runtime]

    # --- viewers

    def join(self, viewer: ClientOutbox) -> None:
        """Show this workspace on a page, starting with the present state of its live cameras."""
        self.broadcast.add(viewer)
        viewer.put_message(self._status_message())
        for camera in self._live_cameras():
            camera.send_history(viewer)

    def leave(self, viewer: ClientOutbox) -> None:
        """Stop showing this workspace on a page."""
        self.broadcast.discard(viewer)

    def send_status(self) -> None:
        """Send the status of the live cameras to all viewers."""
        self.broadcast.send_message(self._status_message())

    def statuses(self) -> list[dict[str, Any]]:
        """Return the status of every live camera."""
        return [camera.status() for camera in self._live_cameras()]

    def _status_message(self) -> dict[str, Any]:
        return {"cameras": self.statuses(), "workspace": self.name}

    def _live_cameras(self) -> list[Camera]:
        return [camera for camera in list(self.cameras.values()) if camera.is_live]

    # --- cameras

    def record_consent(self, purpose: str) -> None:
        """Record the purpose and that everyone in view agreed; cameras that waited for it start."""
        purpose = plain(purpose).strip()
        if not 0 < len(purpose) <= MAX_PURPOSE:
            raise UserError("Please state the purpose of the analysis in a few words.")
        self.consent = Consent(purpose, now())
        for camera in self.cameras.values():
            if camera.session is None:
                camera.start(self.consent)

    def add_camera(self, name: str, open_source: Callable[[], Source], *, replay: bool, is_live: bool = True) -> Camera:
        """Add a source. It starts at once, or, where consent is missing, when that is recorded."""
        context = CameraContext(
            self.teaching.new_recognizer(),
            self._settings,
            self.store,
            self.broadcast,
            self._clip_encoder,
            self.traces,
            self._retention_h,
        )
        camera = Camera(next(_CAMERA_NUMBERS), name, open_source, context, replay, is_live)
        self.cameras[camera.number] = camera
        if replay or self.consent:
            camera.start(self.consent)
        return camera

    def remove_camera(self, number: int) -> None:
        """Stop and remove a camera. Raises UserError when there is none of this number."""
        camera = self.cameras.pop(number, None)
        if camera is None:
            raise UserError("This camera has already been removed.")
        camera.stop()
        self.broadcast.send_message({"removed": number})

    # --- stored data

    def curves(self, session: int) -> list[MotionCurve]:
        """Return how each face of a session moved, up to now for a running session."""
        if session in self.traces:
            return self.traces[session].curves()
        return read_curves(self.store.path, session)

    def event(self, session: int, event_id: str) -> Event:
        """Read one event. Raises UserError when it is not in the store."""
        missed = event_id.startswith(MISSED)
        events = read_missed_events(self.store.path, session) if missed else read_events(self.store.path, session)
        found = next((event for event in events if event.id == event_id), None)
        if found is None:
            raise UserError("This event has been deleted.")
        return found

    def session(self, session: int) -> Session:
        """Read one session. Raises UserError when it is not in the store."""
        found = next((known for known in read_sessions(self.store.path) if known.id == session), None)
        if found is None:
            raise UserError("This session has been deleted.")
        return found

    def recording(self, session: int) -> Recording | None:
        """Return the recording of a session; None where it is not here, and for a visitor: it is the server's."""
        return Recording.find(self.session(session), self.store.path.parent) if self.name == SHARED else None

    def purge(self) -> None:
        """Delete events and sessions that are older than the retention they were recorded under."""
        self.store.purge_expired()

    def delete_everything(self) -> None:
        """Delete sessions, events, images, clips, labels and heads; cameras wait for a new start."""
        for camera in self.cameras.values():
            camera.stop()
        self._finish_clips()
        self.store.delete_all()
        self.teaching.clear()
        for camera in self.cameras.values():
            camera.session = None
        self.consent = None

    def close(self) -> None:
        """Stop the cameras and close the store. Raises UserError when it cannot be written."""
        guard = Guard("closing")
        try:
            for camera in list(self.cameras.values()):
                with guard.item():
                    camera.stop()
            with guard.item():
                self._finish_clips()
        finally:  # the store of a visitor is not worth a wait that would hold up others
            self.store.close(waits=self.name == SHARED)

    def _finish_clips(self) -> None:
        """Wait until all clips so far are stored: the encoder does one job after the other.

        Raises:
            UserError: They are not stored in time.
        """
        try:
            self._clip_encoder.submit(lambda: None).result(CLIPS_LIMIT_S)
        except TimeoutError:
            raise UserError("The clips of events are not stored within {seconds} s.", seconds=CLIPS_LIMIT_S) from None
