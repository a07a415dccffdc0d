"""`merau watch`: a line per event as it is said, and a status line that tells how the camera and the faces fare."""

import json
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from types import FrameType

from merau.stream.events import event_fields
from merau.stream.formatting import event_line, pluralize
from merau.stream.pipeline import FrameResult, Pipeline
from merau.stream.session import run_session
from merau.stream.sources import Source, SourceState
from merau.stream.store import Store

STATUS_EVERY_S = 1.0


class Screen:
    """Event lines on stdout, and below them, where stderr is a terminal, one status line that is drawn over itself.

    Elsewhere only a change of the source's state or of a face's is said, as a line of its own on stderr.
    """

    def __init__(self, source: Source, store: Store, *, as_json: bool) -> None:
        self._source, self._store, self._as_json = source, store, as_json
        self._terminal = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._analysed = 0
        self._delay_ms = 0.0
        self._faces = "no face"
        self._last = (time.monotonic(), 0, 0)
        self._said = ""
        self._thread = threading.Thread(target=self._keep_status, name="status", daemon=True)

    def __enter__(self) -> "Screen":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with self._lock:
            self._clear()

    def show(self, update: FrameResult) -> None:
        """Print the update's events and remember the rest for the status line."""
        if update.frame is not None:
            self._analysed += 1
            self._delay_ms = 1000 * (time.monotonic() - update.frame.arrived_s)
            reasons = [f"face {face.track_id}: {face.quality.reason}" for face in update.faces if face.quality.reason]
            self._faces = "; ".join([pluralize(len(update.faces), "face") if update.faces else "no face", *reasons])
        for event in update.events:
            text = json.dumps(event_fields(event)) if self._as_json else event_line(event)
            with self._lock:
                self._clear()
                print(text, flush=True)

    def _keep_status(self) -> None:
        while not self._ended.wait(STATUS_EVERY_S):
            state = self._source.state()
            with self._lock:
                if self._terminal:
                    self._clear()
                    width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be drawn over
                    sys.stderr.write(self._status(state)[:width])
                    sys.stderr.flush()
                else:
                    self._say_change(state)

    def _status(self, state: SourceState) -> str:
        now_s, (then_s, captured, analysed) = time.monotonic(), self._last
        self._last = (now_s, state.frames, self._analysed)
        captured_hz = (state.frames - captured) / (now_s - then_s)
        analysed_hz = (self._analysed - analysed) / (now_s - then_s)
        rates = f"{captured_hz:.0f} frames/s, {analysed_hz:.0f} analysed, {state.dropped} dropped"
        behind = f"{self._delay_ms:.0f} ms behind"
        return _join(
            _phase(state), rates, behind, self._faces, str(state.decoder or ""), str(self._store.last_error or "")
        )

    def _say_change(self, state: SourceState) -> None:
        said = _join(_phase(state), self._faces, str(state.decoder or ""), str(self._store.last_error or ""))
        if said != self._said:
            self._said = said
            print(said, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def watch(source: Source, pipeline: Pipeline, store: Store, *, as_json: bool) -> None:
    """Watch an opened source until it ends, or until Ctrl-C or SIGTERM; then say what was stored."""
    kinds: Counter[str] = Counter()
    updates = run_session(source, pipeline, store)
    with Screen(source, store, as_json=as_json) as screen, closing(updates):
        for update in updates:
            kinds.update(event.kind for event in update.events if event.final)
            screen.show(update)
    state = source.state()
    frames = f"{pluralize(state.frames, 'frame')}, {state.dropped} dropped, {pluralize(len(state.gaps), 'gap')}"
    events = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common()) or "none"
    ended = f"Ended: {state.reason}. {frames}. Events stored in {store.path}: {events}."
    print(f"{ended} Recognizer: {pipeline.describe_runtime()}.", file=sys.stderr)


def stop_on_signals(source: Source) -> None:
    """Let the first Ctrl-C or SIGTERM end the source, so that what is open is closed and stored; a second one kills."""

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        threading.Thread(target=source.stop).start()  # not here: the handler may have interrupted the source itself

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _phase(state: SourceState) -> str:
    if state.phase != "lost":
        return state.phase
    return f"lost since {state.since.astimezone():%H:%M:%S}: {state.reason}"


def _join(*words: str) -> str:
    return " · ".join(word for word in words if word)
