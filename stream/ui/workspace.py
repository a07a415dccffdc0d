"""One store, the cameras that fill it, and what was taught from it: the server's own, or one visitor's."""

import itertools
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from merau.engine import bundle as bundles
from merau.engine.bundle import Bundle
from merau.engine.errors import Message, UserError
from merau.engine.few_shot import FewShotHead, Sample, fit_few_shot
from merau.engine.few_shot_file import bundle_of_head
from merau.engine.recognizer import Classification, Recognizer
from merau.stream.events import Consent, Event
from merau.stream.pipeline import PipelineSettings
from merau.stream.sources import Source
from merau.stream.spotter.flow_backend import FlowBackend, describe_runtime
from merau.stream.store import Label, MotionCurve, Store, read_curves, read_events, read_labels, read_sessions
from merau.stream.store.writer import now
from merau.stream.summary import MotionTrace
from merau.stream.ui.camera_worker import Camera, CameraContext
from merau.stream.ui.frame_encoder import EncoderOutputs
from merau.stream.ui.outbox import ClientOutbox, LiveFrame

# Of the bundle at a path, or the one that this server was started with. Each camera has its own: a recognizer makes one
# prediction at a time.
Load = Callable[[Path | None], Recognizer]
NUMBERS = itertools.count(1)  # of cameras, over all workspaces: a page may show two workspaces


class Workspace:
    """Open until `close`. Raises UserError where the store cannot be used."""

    name = "server"

    def __init__(self, store: Path, load: Load, settings: PipelineSettings, cutter: Executor) -> None:
        self._load, self._settings, self._cutter = load, settings, cutter
        self._judge = load(None)
        self._own = self._judge.bundle
        self.store = Store(store, keep_pictures=True)
        self.consent: Consent | None = None
        self.cameras: dict[int, Camera] = {}
        self.traces: dict[int, dict[int, MotionTrace]] = {}
        head = self._judge.few_shot_head
        self.heads: list[FewShotHead] = [head] if head else []  # the last one is in use
        self._loaded = list(self.heads)  # those of them that came from files
        self.store.replace_reclassifications([])  # what the page taught went with its server
        self._viewers: set[ClientOutbox] = set()
        self._lock = threading.Lock()

    @property
    def bundle(self) -> Bundle:
        """The one that judges now: this server's own, or the one that the present lesson was taught to."""
        return self._judge.bundle

    @property
    def runs_on(self) -> list[Message]:
        """What runs on which device here, and why: for the cameras that run, or for the next one."""
        running = {str(message): message for camera in list(self.cameras.values()) if (message := camera.runs_on)}
        flow = FlowBackend(self._judge, self._settings.spotter.crop)
        return [running[text] for text in sorted(running)] or [describe_runtime(self._judge, flow)]

    # --- who looks

    def join(self, viewer: ClientOutbox) -> None:
        """Show this workspace on a page from now on, beginning with where its cameras stand."""
        with self._lock:
            self._viewers.add(viewer)
        viewer.put_message(self._status())
        for camera in self._live_cameras():
            for word in list(camera.said):
                viewer.put_message(word)
            if camera.last_frame:
                viewer.put_frame(replace(camera.last_frame, points=tuple(camera.points)))

    def leave(self, viewer: ClientOutbox) -> None:
        with self._lock:
            self._viewers.discard(viewer)

    def tell(self, word: dict[str, Any]) -> None:
        for viewer in self._looking():
            viewer.put_message(word)

    def send_status(self) -> None:
        self.tell(self._status())

    def _status(self) -> dict[str, Any]:
        return {"cameras": self.statuses(), "workspace": self.name}

    def statuses(self) -> list[dict[str, Any]]:
        return [camera.status() for camera in self._live_cameras()]

    def _live_cameras(self) -> list[Camera]:
        return [camera for camera in list(self.cameras.values()) if camera.is_live]

    def _looking(self) -> list[ClientOutbox]:
        with self._lock:
            return list(self._viewers)

    # --- cameras

    def record_consent(self, purpose: str) -> None:
        """Record the purpose and that those in view agreed; cameras that waited for it start."""
        if not purpose.strip():
            raise UserError("Please state the purpose of the analysis in a few words.")
        self.consent = Consent(purpose.strip(), now())
        for camera in self.cameras.values():
            if camera.session is None:
                camera.start(self.consent)

    def add(self, name: str, open_source: Callable[[], Source], *, replay: bool, is_live: bool = True) -> Camera:
        """Take up a source. It starts at once, or, lacking consent, once that is given."""
        context = CameraContext(self._recognizer(), self._settings, self.store, self._outputs, self.tell, self.traces)
        camera = Camera(next(NUMBERS), name, open_source, context, replay, is_live)
        self.cameras[camera.number] = camera
        if replay or self.consent:
            camera.start(self.consent)
        return camera

    def remove(self, number: int) -> None:
        camera = self.cameras.pop(number, None)
        if camera is None:
            raise UserError("This camera has already been removed.")
        camera.stop()
        self.tell({"removed": number})

    def _outputs(self, camera: Camera, session: int) -> EncoderOutputs:
        def show(shot: LiveFrame) -> None:
            if camera.is_live:
                camera.last_frame = shot
                camera.points.extend(shot.points)
                for viewer in self._looking():
                    viewer.put_frame(shot)

        def keep(event: Event, mp4: bytes) -> None:
            self.store.put_clip(session, event.id, mp4)
            self.tell({"clip": event.id, "session": session})

        return EncoderOutputs(show, lambda: camera.is_live and bool(self._viewers), keep, self._cutter)

    # --- review and teaching

    def curves(self, session: int) -> list[MotionCurve]:
        """How each face of a session moved, up to now."""
        if session in self.traces:
            return [trace.curve(track) for track, trace in list(self.traces[session].items())]
        return read_curves(self.store.path, session)

    def event(self, session: int, event_id: str) -> Event:
        found = next((event for event in read_events(self.store.path, session) if event.id == event_id), None)
        if found is None:
            raise UserError("This event has been deleted.")
        return found

    def label(self, session: int, event_id: str, name: str) -> None:
        """Note what a person calls an event."""
        if not (name := name.strip()) or len(name) > 40:
            raise UserError("A class needs a name of 1 to 40 characters.")
        event = self.event(session, event_id)
        said = self._judged(event)
        self.store.label(session, event, name, said.prior if said else {})
        self.store.flush()

    def unlabel(self) -> None:
        """Take the newest label back."""
        self.store.undo_last_label()
        self.store.flush()

    def labels(self) -> list[Label]:
        return read_labels(self.store.path)

    def samples(self) -> list[Sample]:
        """What can be taught from: the samples of the head that was loaded last, and the labelled events that this
        bundle's trunk has seen. What is in both counts once, by its label.
        """
        loaded = self._loaded[-1].samples if self._loaded else ()
        labelled = [
            Sample(label.label, np.frombuffer(label.embedding, np.float32), label.probabilities, label.aus)
            for label in self.labels()
            if label.embedding and label.probabilities and label.bundle_sha256 == self.bundle.sha256
        ]
        return list({sample.embedding.tobytes(): sample for sample in (*loaded, *labelled)}.values())

    def teach(self) -> FewShotHead:
        """Fit a head to all samples and use it from the next frame on; `undo_head` restores the one before."""
        return self.use(fit_few_shot(self.samples(), self.bundle))

    def load_head(self, path: Path) -> FewShotHead:
        """Answer with the head at `path` from the next frame on, and with the bundle that it was taught to.

        Raises UserError unless that one ships or is this server's own.
        """
        sha256 = bundle_of_head(path)
        found = None if sha256 == self._own.sha256 else bundles.find_shipped(sha256)
        lesson = FewShotHead.load(path, bundles.load(found) if found else self._own)
        self._loaded.append(lesson)
        return self.use(lesson)

    def use(self, lesson: FewShotHead) -> FewShotHead:
        self.heads.append(lesson)
        self._apply_head()
        return lesson

    def undo_head(self) -> None:
        """Go back to the lesson before, at last to the bundle's own classes."""
        if not self.heads:
            raise UserError("There is no teaching to undo.")
        gone = self.heads.pop()
        if self._loaded and gone is self._loaded[-1]:
            self._loaded.pop()
        self._apply_head()

    def _apply_head(self) -> None:
        """From now on the present lesson, or none, judges: what the cameras see, and what is stored already."""
        wanted = self.heads[-1].bundle_sha256 if self.heads else self._own.sha256
        cameras = list(self.cameras.values())
        if wanted == self.bundle.sha256:
            for recognizer in (self._judge, *(camera.context.recognizer for camera in cameras)):
                recognizer.use_head(self.heads[-1] if self.heads else None)
        else:
            self._judge = self._recognizer()
            for camera in cameras:
                camera.context = replace(camera.context, recognizer=self._recognizer())
        self.store.flush()
        path = self.store.path
        found = ((session.id, event) for session in read_sessions(path) for event in read_events(path, session.id))
        self.store.replace_reclassifications(
            (
                session,
                replace(event, probabilities=said.probabilities, label=said.label, uncertain=said.uncertain),
            )
            for session, event in found
            if (said := self._judged(event))
        )
        self.store.flush()

    def _recognizer(self) -> Recognizer:
        """One with the present lesson, or none, and the bundle that belongs to it."""
        lesson = self.heads[-1] if self.heads else None
        foreign = lesson and lesson.bundle_sha256 != self._own.sha256
        recognizer = self._load(bundles.find_shipped(lesson.bundle_sha256) if lesson and foreign else None)
        recognizer.use_head(lesson)
        return recognizer

    def _judged(self, event: Event) -> Classification | None:
        """What is said now of an event; None where this bundle's trunk has not seen it."""
        if event.embedding is None or event.bundle_sha256 != self.bundle.sha256:
            return None
        return self._judge.classify(np.frombuffer(event.embedding, np.float32), event.aus, spotted=True)

    # --- the end

    def purge(self, older_than_h: float) -> None:
        self.store.purge_before(datetime.now(UTC) - timedelta(hours=older_than_h))

    def delete_everything(self) -> None:
        """Sessions, events, pictures, films, labels and what was taught; cameras begin new sessions."""
        for camera in self.cameras.values():
            camera.stop()
        self._finish_films()
        self.store.delete_all()
        self.heads.clear()
        self._loaded.clear()
        self._apply_head()
        for camera in self.cameras.values():
            camera.session = None
        self.consent = None

    def close(self) -> None:
        for camera in list(self.cameras.values()):
            camera.stop()
        self._finish_films()
        self.store.close()

    def _finish_films(self) -> None:
        """Wait until the films that are being cut are stored: the cutter takes one job after the other."""
        self._cutter.submit(lambda: None).result()


class PrivateWorkspace(Workspace):
    """A visitor's: its folder and all that is in it go when it is closed."""

    name = "mine"

    def __init__(self, folder: Path, load: Load, settings: PipelineSettings, cutter: Executor) -> None:
        self.folder = folder
        super().__init__(folder / "merau.db", load, settings, cutter)

    def close(self) -> None:
        try:
            super().close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
