"""One source analysed in a thread of its own; it reports its status and can be started again."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from merau.engine.errors import Message, UserError
from merau.engine.recognizer import Recognizer
from merau.stream.events import NO_RETENTION, Consent, Event, Retention, event_fields
from merau.stream.guard import internal_error, is_internal
from merau.stream.pipeline import FrameResult, Pipeline, PipelineSettings
from merau.stream.session import run_session, start_session
from merau.stream.sources import Browser, Source
from merau.stream.store import Store
from merau.stream.summary import MotionTraces
from merau.stream.ui.broadcast import Broadcast
from merau.stream.ui.event_clip import DEFAULT_CLIP, ClipSettings
from merau.stream.ui.frame_encoder import EncoderOutputs, FrameEncoder
from merau.stream.ui.outbox import ClientOutbox, LiveFrame

RATE_PERIOD_S = 0.9  # frame rates are measured over at least this time
HISTORY_EVENTS = 20  # event messages that a page gets when it connects later
HISTORY_POINTS = 1500  # of motion, for the chart of such a page
SAVE_TRACES_EVERY_S = 10.0  # a killed server loses at most this much of them
STOP_LIMIT_S = 60.0  # within which a camera's results must be stored


def consent_required() -> UserError:
    """Return the error for a camera that is to start without consent."""
    return UserError("Before a camera is analysed, state the purpose and confirm that everyone in view agrees.")


@dataclass(frozen=True)
class CameraSetup:
    """What a configuration says of one camera, beside its source.

    Attributes:
        group: Cameras that belong together; "" for none.
        consent: Purpose and consent of this camera; None takes those of the workspace.
        settings: How the source is analysed; None as the workspace does.
        recognizer: Its own, which teaching leaves alone; None takes one of the workspace.
        retention: How long what is recorded is kept.
        clip: What the clips of its events show.
    """

    group: str = ""
    consent: Consent | None = None
    settings: PipelineSettings | None = None
    recognizer: Recognizer | None = None
    retention: Retention = NO_RETENTION
    clip: ClipSettings = DEFAULT_CLIP


@dataclass(frozen=True)
class CameraContext:
    """What a camera gets from its workspace.

    Attributes:
        recognizer: This camera's own.
        settings: How the source is analysed.
        store: Takes sessions, events and clips.
        broadcast: The pages that show the workspace.
        clip_encoder: Runs the encoding of clips.
        traces: Motion in the running sessions, by session and track.
        retention: How long what is recorded is kept.
        on_event: Is told each event, with its camera and session, once it was put into the store.
    """

    recognizer: Recognizer
    settings: PipelineSettings
    store: Store
    broadcast: Broadcast
    clip_encoder: Executor
    traces: dict[int, MotionTraces]
    retention: Retention = NO_RETENTION
    on_event: "Callable[[Camera, int, Event], None]" = lambda *_: None


@dataclass
class Camera:
    """A source of a workspace.

    Attributes:
        number: Unique on this server.
        name: As the page shows it.
        open_source: Opens the source, once for every start.
        context: May be replaced while the camera runs; its recognizer is used from the next frame on.
        replay: Whether the source is a recording, which needs no consent.
        is_live: Whether the live page shows it; False for a recording that is analysed for review.
        setup: What a configuration says of it; None for one that a page or a command line named.
        address: The source as it was typed, perhaps with a password: it must not be shown.
        session: The newest session, once one has started.
        error: Why the analysis ended, if it failed.
        failed: Whether an internal error ended the analysis, now or before.
        last_frame: The newest frame that was sent to pages.
        points: Motion in recent frames, as in `LiveFrame.points`.
        event_messages: The newest messages about events.
        analysed: Frames analysed since the start.
        delay_ms: From the arrival of the newest analysed frame to its result.
        flickers: Whether the light flickers in the newest analysed frame.
        is_off: Whether its schedule has it rest.
        every: Only one of so many frames is analysed, where the machine cannot carry more.
    """

    number: int
    name: str
    open_source: Callable[[], Source]
    context: CameraContext
    replay: bool
    is_live: bool = True
    setup: CameraSetup | None = None
    address: str = field(default="", repr=False)
    session: int | None = None
    error: Message | None = None
    failed: bool = False
    last_frame: LiveFrame | None = None
    points: deque[tuple[float, int, float, float]] = field(default_factory=lambda: deque(maxlen=HISTORY_POINTS))
    event_messages: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=HISTORY_EVENTS))
    analysed: int = 0
    delay_ms: float = 0.0
    flickers: bool = False
    is_off: bool = False
    every: int = 1
    _source: Source | None = None
    _pipeline: Pipeline | None = None
    _thread: threading.Thread | None = None
    _stopped: bool = False
    _rates_hz: tuple[float, float] = (0.0, 0.0)
    _last_counts: tuple[float, int, int, int] = field(default_factory=lambda: (time.monotonic(), 0, 0, 0))

    @property
    def running(self) -> bool:
        """Whether the source is being analysed."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def runtime(self) -> Message | None:
        """Description of what runs on which device; None where nothing runs."""
        pipeline = self._pipeline
        return pipeline.describe_runtime() if pipeline else None

    @property
    def counts(self) -> tuple[int, int]:
        """Frames that the source gave since it was started, and how many of them were dropped."""
        state = self._source.state() if self._source and self.running else None
        return (state.frames, state.dropped) if state else (0, 0)

    @property
    def group(self) -> str:
        """The group it belongs to; "" for none."""
        return self.setup.group if self.setup else ""

    @property
    def needs_consent(self) -> bool:
        """Whether somebody must agree before it is analysed."""
        return not (self.replay or (self.setup and self.setup.consent))

    def start(self, consent: Consent | None) -> None:
        """Start the analysis unless it runs already. Raises UserError when a camera lacks consent.

        Args:
            consent: What was agreed to for the workspace; the consent of its own setup goes before.
        """
        consent = (self.setup.consent if self.setup else None) or consent
        if not (self.replay or consent):
            raise consent_required()
        if not self.running:
            self.error, self.analysed, self.flickers, self._stopped = None, 0, False, False
            self.event_messages.clear()
            self.points.clear()
            name = f"camera {self.number}"
            self._thread = threading.Thread(target=self._run, args=(consent,), name=name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Release the source and wait until its results are stored.

        Raises:
            UserError: The analysis does not end.
        """
        self._stopped = True
        if self._source:
            self._source.stop()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(STOP_LIMIT_S)
            if self._thread.is_alive():
                raise UserError("{name} does not stop within {seconds} s.", name=self.name, seconds=f"{STOP_LIMIT_S:g}")

    def send_history(self, viewer: ClientOutbox) -> None:
        """Send recent events and the newest frame to a page that has just connected."""
        for message in list(self.event_messages):
            viewer.put_message(message)
        if self.last_frame:
            viewer.put_frame(replace(self.last_frame, points=tuple(self.points)))

    def _run(self, consent: Consent | None) -> None:
        try:
            self._source = source = self.open_source()
            with source:
                if not self._stopped:
                    self._analyse(source, consent)
        except Exception as error:  # whatever it is, the page must not call the recording analysed
            told = error if isinstance(error, UserError) else internal_error(self.name, error)
            self.error = told.message
            if is_internal(error):
                self.failed = True
                logging.getLogger(__name__).error("%s", told)

    def _analyse(self, source: Source, consent: Consent | None) -> None:
        context = self.context
        pipeline = Pipeline(
            self.name, context.recognizer, context.settings, wall_zero=source.wall_zero, keep_pictures=True
        )
        agreed = None if self.replay else consent
        session = start_session(source, pipeline, context.store, agreed, retention=context.retention)
        if self.setup:  # the source of a camera is an address
            context.store.rename_session(session, self.name)
        self.session = session
        traces = context.traces[session] = MotionTraces()
        saved_s = time.monotonic()
        page_has_images = isinstance(source, Browser)
        encoder = FrameEncoder(
            self.number,
            self._outputs(session),
            sends_images=not page_has_images,
            drops=self.is_live,
            clip=self.setup.clip if self.setup else DEFAULT_CLIP,
        )
        pipeline.every = self.every
        self._pipeline = pipeline
        try:
            with closing(run_session(source, pipeline, context.store, session)) as results:
                for result in results:
                    self._measure_frame(result, traces)
                    if time.monotonic() - saved_s > SAVE_TRACES_EVERY_S:
                        self._save_traces(session, traces)
                        saved_s = time.monotonic()
                    encoder.push(result)
                    pipeline.every = self.every
                    pipeline.swap_recognizer(self.context.recognizer)
                    for event in result.events:
                        self._send_event(event, session)
        finally:
            self._pipeline = None  # frees its nets and crops, however long the camera stays on the page
            encoder.end()
            try:
                context.store.flush()
            finally:
                del context.traces[session]

    def _outputs(self, session: int) -> EncoderOutputs:
        """Connect an encoder with the pages and the store."""
        context = self.context

        def send_frame(frame: LiveFrame) -> None:
            if self.is_live:
                self.last_frame = frame
                self.points.extend(frame.points)
                context.broadcast.send_frame(frame)

        def store_clip(event: Event, mp4: bytes) -> None:
            context.store.put_clip(session, event.id, mp4)
            context.broadcast.send_message({"clip": event.id, "session": session})

        return EncoderOutputs(
            send_frame, lambda: self.is_live and context.broadcast.has_viewers, store_clip, context.clip_encoder
        )

    def _measure_frame(self, result: FrameResult, traces: MotionTraces) -> None:
        if result.frame is None:
            return
        self.analysed += 1
        self.flickers = result.flicker > 0
        self.delay_ms = 1000 * (time.monotonic() - result.frame.arrived_s)
        traces.add(result)

    def _save_traces(self, session: int, traces: MotionTraces) -> None:
        for curve in traces.curves():
            self.context.store.put_curve(session, curve)

    def _send_event(self, event: Event, session: int) -> None:
        message = {"event": event_fields(event), "camera": self.number, "session": session}
        self.event_messages.append(message)
        self.context.broadcast.send_message(message)
        self.context.on_event(self, session, event)

    def _measure_rates(self, frames: int, dropped: int) -> None:
        """Update the rates of captured and analysed frames, however often the status is read.

        The analysed rate is the captured rate times the share that was not dropped. A plain count would exceed the
        captured rate whenever frames that waited are analysed in the next period.
        """
        now_s, (last_s, *last) = time.monotonic(), self._last_counts
        period_s = now_s - last_s
        if period_s < RATE_PERIOD_S:
            return
        counts = (frames, self.analysed, dropped)
        captured, analysed, lost = (max(new - old, 0) for new, old in zip(counts, last, strict=True))
        captured_hz = captured / period_s
        self._rates_hz = (round(captured_hz, 1), round(captured_hz * analysed / max(analysed + lost, 1), 1))
        self._last_counts = (now_s, *counts)

    def status(self) -> dict[str, Any]:
        """Return the state of the source and its analysis for the page's status line; texts may be Messages."""
        source_status = self._source_status()  # also updates the rates
        recognizer = self.context.recognizer
        return source_status | {
            "camera": self.number,
            "name": self.name,
            "group": self.group,
            "own": isinstance(self._source, Browser),
            "replay": self.replay,
            "session": self.session,
            "analysed": self.analysed,
            "captured_hz": self._rates_hz[0],
            "analysed_hz": self._rates_hz[1],
            "delay_ms": round(self.delay_ms, 1),
            "flickers": self.flickers,
            "every": self.every,
            "bundle": recognizer.bundle.name,
            "device": "GPU" if recognizer.runtime.device == "cuda" else "CPU",
            "taught": recognizer.few_shot_head is not None,
            "store_error": self.context.store.last_error or "",
        }

    def _source_status(self) -> dict[str, Any]:
        source = self._source
        state = source.state() if source else None
        self._measure_rates(state.frames if state else 0, state.dropped if state else 0)
        phase = "connecting" if self.running or self.session else "waiting"
        phase = "ended" if self.error else "off" if self.is_off and not self.running else phase
        if source is None or state is None:
            nothing = {"frames": 0, "frames_total": None, "dropped": 0, "gaps": 0, "reconnects": 0, "decoder": ""}
            return {"phase": phase, "since": None, "reason": self.error or "", **nothing}
        return {
            "phase": state.phase if phase == "connecting" else phase,
            "since": state.since.isoformat(),
            "reason": self.error or state.reason or "",
            "frames": state.frames,
            "frames_total": source.frames_total,
            "dropped": state.dropped,
            "gaps": len(state.gaps),
            "reconnects": state.reconnects,
            "decoder": state.decoder or "",
        }
