"""One source analysed in a thread of its own, as the page sees it: it tells how it fares, and can be begun again."""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from merau.engine.errors import Message, UserError
from merau.engine.recognizer import Recognizer
from merau.stream.events import Consent, Event, event_fields
from merau.stream.pipeline import FrameResult, Pipeline, PipelineSettings
from merau.stream.session import run_session, start_session
from merau.stream.sources import Browser, Source
from merau.stream.store import Store
from merau.stream.summary import MotionTrace
from merau.stream.ui.frame_encoder import EncoderOutputs, FrameEncoder
from merau.stream.ui.outbox import LiveFrame

RATE_OVER_S = 0.9  # frame rates are measured over this time at least
SAID = 20  # words on events that a page is told when it comes later
POINTS = 1500  # of motion, for the chart of such a page
TRACES = 20  # people of one session whose motion is kept for the timeline
KEEP_EVERY_S = 10.0  # how much of that motion a killed server loses


@dataclass(frozen=True)
class CameraContext:
    """What a camera is given by its workspace."""

    recognizer: Recognizer
    settings: PipelineSettings
    store: Store
    outputs: Callable[["Camera", int], EncoderOutputs]  # of a session
    tell: Callable[[dict[str, Any]], None]  # a word to every page that shows this workspace
    traces: dict[int, dict[int, MotionTrace]]  # of running sessions, by session and track


@dataclass
class Camera:
    """`open_source` gives the source anew at each start. A replay needs no consent. What is not `is_live`, the live
    page, is a recording that is analysed for the review. Another recognizer in `context` judges from the next frame on.
    """

    number: int
    name: str
    open_source: Callable[[], Source]
    context: CameraContext
    replay: bool
    is_live: bool = True
    session: int | None = None
    trouble: Message | None = None
    last_frame: LiveFrame | None = None
    points: deque[tuple[float, int, float, float]] = field(default_factory=lambda: deque(maxlen=POINTS))
    said: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=SAID))
    analysed: int = 0
    delay_ms: float = 0.0
    _source: Source | None = None
    _pipeline: Pipeline | None = None
    _thread: threading.Thread | None = None
    _stopped: bool = False
    _rates_hz: tuple[float, float] = (0.0, 0.0)
    _last: tuple[float, int, int, int] = field(default_factory=lambda: (time.monotonic(), 0, 0, 0))

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def runs_on(self) -> Message | None:
        """As Pipeline.describe_runtime; None unless it runs."""
        pipeline = self._pipeline
        return pipeline.describe_runtime() if pipeline else None

    def start(self, consent: Consent | None) -> None:
        """Analyse, if that does not happen already. Raises UserError where a camera lacks consent."""
        if not (self.replay or consent):
            raise UserError("Before a camera is analysed, state the purpose and confirm that everyone in view agrees.")
        if not self.running:
            self.trouble, self.analysed, self._stopped = None, 0, False
            self.said.clear()
            self.points.clear()
            name = f"camera {self.number}"
            self._thread = threading.Thread(target=self._run, args=(consent,), name=name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Let the source go and wait until what it gave is stored."""
        self._stopped = True
        if self._source:
            self._source.stop()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, consent: Consent | None) -> None:
        try:
            self._source = source = self.open_source()
            with source:
                if not self._stopped:
                    self._analyse(source, consent)
        except UserError as error:
            self.trouble = error.message

    def _analyse(self, source: Source, consent: Consent | None) -> None:
        context = self.context
        pipeline = Pipeline(
            self.name, context.recognizer, context.settings, wall_zero=source.wall_zero, keep_pictures=True
        )
        self.session = session = start_session(source, pipeline, context.store, None if self.replay else consent)
        traces = context.traces[session] = {}
        kept_s = time.monotonic()
        own = isinstance(source, Browser)
        film = FrameEncoder(self.number, context.outputs(self, session), sends_pictures=not own, waits=not self.is_live)
        self._pipeline = pipeline
        try:
            with closing(run_session(source, pipeline, context.store, session)) as updates:
                for update in updates:
                    self._note(update, traces)
                    if time.monotonic() - kept_s > KEEP_EVERY_S:
                        self._keep(session, traces)
                        kept_s = time.monotonic()
                    film.push(update)
                    pipeline.swap_recognizer(self.context.recognizer)
                    for event in update.events:
                        self._tell(event, session)
        finally:
            self._pipeline = None  # its nets and crops are let go, however long the camera stays on the page
            film.end()
            self._keep(session, traces)
            try:
                context.store.flush()
            finally:
                del context.traces[session]

    def _note(self, update: FrameResult, traces: dict[int, MotionTrace]) -> None:
        if update.frame is None:
            return
        self.analysed += 1
        self.delay_ms = 1000 * (time.monotonic() - update.frame.arrived_s)
        for track, motion_px in update.motion.items():
            if track in traces or len(traces) < TRACES:
                traces.setdefault(track, MotionTrace()).add(update.frame.t_s, motion_px, update.noise[track])

    def _keep(self, session: int, traces: dict[int, MotionTrace]) -> None:
        for track, trace in traces.items():
            self.context.store.put_curve(session, trace.curve(track))

    def _tell(self, event: Event, session: int) -> None:
        word = {"event": event_fields(event), "camera": self.number, "session": session}
        self.said.append(word)
        self.context.tell(word)

    def _measure(self, frames: int, dropped: int) -> None:
        """Frames captured and analysed a second, whoever asks and how often.

        Of those captured, the share is analysed that was not dropped: a few that wait may be analysed in the next
        second, and would make it look as if more were analysed than came.
        """
        now_s, (then_s, *before) = time.monotonic(), self._last
        span_s = now_s - then_s
        if span_s >= RATE_OVER_S:
            came, done, lost = (max(a - b, 0) for a, b in zip((frames, self.analysed, dropped), before, strict=True))
            captured_hz = came / span_s
            self._rates_hz = (round(captured_hz, 1), round(captured_hz * done / max(done + lost, 1), 1))
            self._last = (now_s, frames, self.analysed, dropped)

    def status(self) -> dict[str, Any]:
        """How the source and its analysis fare, as the page's status line tells it."""
        state = self._source.state() if self._source else None
        frames, dropped = (state.frames, state.dropped) if state else (0, 0)
        self._measure(frames, dropped)
        waiting = not self.running and not self.session and not self.trouble
        return {
            "camera": self.number,
            "name": self.name,
            "own": isinstance(self._source, Browser),
            "replay": self.replay,
            "session": self.session,
            "phase": "waiting" if waiting else state.phase if state else "connecting",
            "since": state.since.isoformat() if state else None,
            "reason": self.trouble or (state and state.reason) or "",
            "frames": frames,
            "frames_total": self._source.frames_total if self._source else None,
            "analysed": self.analysed,
            "captured_hz": self._rates_hz[0],
            "analysed_hz": self._rates_hz[1],
            "dropped": dropped,
            "gaps": len(state.gaps) if state else 0,
            "reconnects": state.reconnects if state else 0,
            "delay_ms": round(self.delay_ms, 1),
            "bundle": self.context.recognizer.bundle.name,
            "device": "GPU" if self.context.recognizer.runtime.device == "cuda" else "CPU",
            "decoder": (state and state.decoder) or "",
            "taught": self.context.recognizer.few_shot_head is not None,
            "store_error": self.context.store.last_error or "",
        }
