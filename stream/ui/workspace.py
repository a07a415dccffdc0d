"""A store and the cameras that fill it: shared by all trusted clients, or private to one page."""

import itertools
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from merau.engine.errors import Message, UserError
from merau.engine.text import plain
from merau.stream.coding import MISSED, read_missed_events
from merau.stream.events import Consent, Event, Retention
from merau.stream.guard import Guard
from merau.stream.pipeline import PipelineSettings
from merau.stream.sources import Source
from merau.stream.spotter.flow_backend import FlowBackend, describe_runtime
from merau.stream.store import MotionCurve, Session, Store, read_consent, read_curves, read_events, read_sessions
from merau.stream.store.writer import now
from merau.stream.summary import MotionTraces
from merau.stream.ui.broadcast import Broadcast
from merau.stream.ui.camera_worker import Camera, CameraContext, CameraSetup
from merau.stream.ui.outbox import ClientOutbox
from merau.stream.ui.recording import Recording, forget_excerpts
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
        changing: Held while all is deleted, and by whoever starts and stops cameras of its own accord.
        on_event: Is told each event, with its camera and session, once it was put into the store. It must not raise.
    """

    def __init__(
        self,
        name: str,
        store: Path,
        load: Load,
        settings: PipelineSettings,
        clip_encoder: Executor,
        retention_h: float | None = None,
        uploads: Path | None = None,
        *,
        remembers: bool = False,
    ) -> None:
        """Open the store and load a recognizer. Raises UserError where that fails.

        With a `retention_h` all that is recorded here is deleted so many hours later; else it is kept. Uploads are kept
        as long as their sessions, in the folder `uploads`; without one they are not kept. A workspace that `remembers`
        goes on with the consent and the few-shot heads of an earlier run.
        """
        self.name, self._settings, self._clip_encoder, self._retention_h = name, settings, clip_encoder, retention_h
        self.store = Store(store, keep_pictures=True)
        self.cameras: dict[int, Camera] = {}
        self.traces: dict[int, MotionTraces] = {}
        self.changing = threading.RLock()
        self._remembers = remembers
        self.consent: Consent | None = None
        if remembers:
            self.store.flush()
            self.consent = read_consent(store)
        self.broadcast = Broadcast()
        kept_in = store.with_name(f"{store.name}.heads") if remembers else None
        self.teaching = Teaching(self.store, load, self.cameras, kept_in)
        self._uploads = uploads
        self._recordings = uploads_in(uploads)  # of sessions that the page analysed, by session
        self.on_event: Callable[[Camera, int, Event], None] = lambda *_: None

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
        if self._remembers:
            self.store.remember_consent(self.consent)
        for camera in self.cameras.values():
            if camera.session is None and camera.setup is None:
                camera.start(self.consent)

    def add_camera(
        self,
        name: str,
        open_source: Callable[[], Source],
        *,
        replay: bool,
        is_live: bool = True,
        setup: CameraSetup | None = None,
        address: str = "",
    ) -> Camera:
        """Add a source. It starts at once, or, where consent is missing, when that is recorded.

        Args:
            name: As the page shows it.
            open_source: Opens the source, once for every start.
            replay: Whether the source is a recording, which needs no consent.
            is_live: Whether the live page shows it.
            setup: What a configuration says of the camera, which then starts when it is told to.
            address: The source as it was typed, so that it can be saved.
        """
        context = CameraContext(
            (setup and setup.recognizer) or self.teaching.new_recognizer(),
            (setup and setup.settings) or self._settings,
            self.store,
            self.broadcast,
            self._clip_encoder,
            self.traces,
            setup.retention if setup else Retention(self._retention_h),
            lambda camera, session, event: self.on_event(camera, session, event),
        )
        camera = Camera(next(_CAMERA_NUMBERS), name, open_source, context, replay, is_live, setup, address)
        self.cameras[camera.number] = camera
        if setup is None and (replay or self.consent):
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
        """Return the recording of a session; None where it is not here."""
        return Recording.find(found := self.session(session), self._places(found))

    def _places(self, session: Session) -> list[Path]:
        """Return where the recording of a session may lie: for a visitor nowhere but among the uploads.

        What the page analysed is stored by its name alone, which may be that of another file here.
        """
        if session.id in self._recordings:
            return [self._recordings[session.id]]
        if self.name == PRIVATE or session.retention_h is not None or "://" in session.source:
            return []
        folder, source = self.store.path.parent, Path(session.source)
        return [source, folder / source, folder / source.name]

    def remember_recording(self, session: int, path: Path) -> None:
        """Take `path` for the recording of a session that the page analysed."""
        self._recordings[session] = path

    def keep_upload(self, session: int, path: Path, least_free: int) -> None:
        """Keep an upload as the recording of a session, unless fewer than `least_free` bytes of the disk are free.

        Of a visitor only the newest is kept.
        """
        if self._uploads is None:
            return
        if self.name == PRIVATE:
            forget_uploads(self._uploads, ())
        self._uploads.mkdir(mode=0o700, exist_ok=True)
        if shutil.disk_usage(self._uploads).free >= least_free:
            kept = self._uploads / f"{session}-{secrets.token_hex(4)}{path.suffix}"  # no name comes twice
            self.remember_recording(session, path.rename(kept))

    def purge(self) -> None:
        """Delete events and sessions that are older than the retention they were recorded under, and their uploads."""
        self.store.purge_expired()
        if self._uploads:
            forget_uploads(self._uploads, [session.id for session in read_sessions(self.store.path)])

    def delete_everything(self) -> None:
        """Delete sessions, events, images, clips, labels, heads and uploads; cameras wait for a new start."""
        with self.changing:
            for camera in self.cameras.values():
                camera.stop()
            self._finish_clips()
            self.store.delete_all()
            if self._uploads:
                forget_uploads(self._uploads, ())
            self._recordings.clear()
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


def uploads_in(folder: Path | None) -> dict[int, Path]:
    """Return the uploads that are kept in a folder, by session."""
    return {int(path.name.partition("-")[0]): path for path in folder.glob("*")} if folder else {}


def forget_uploads(folder: Path, sessions: Collection[int]) -> None:
    """Delete the uploads in a folder but those of some sessions."""
    gone = [path for session, path in uploads_in(folder).items() if session not in sessions]
    for path in gone:
        path.unlink(missing_ok=True)
    if gone:
        forget_excerpts()
