"""`merau watch`: a line for each event while a source runs, and a status line below."""

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from merau.engine.errors import UserError
from merau.engine.text import plain
from merau.stream.commands import options
from merau.stream.events import event_fields
from merau.stream.formatting import event_line, pluralize
from merau.stream.guard import Guard
from merau.stream.signals import on_stop_signal

if TYPE_CHECKING:
    from merau.stream.pipeline import FrameResult, Pipeline
    from merau.stream.sources import Source, SourceState
    from merau.stream.store import Store
    from merau.stream.ui.event_clip import ClipSettings

    Keep = Callable[["FrameResult"], None]

STATUS_EVERY_S = 1.0


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    summary = "analyse a webcam, an RTSP camera or a recording while it runs: one line per event"
    parser = options.add_command(commands, "watch", summary, run)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help="0 or /dev/video0, rtsp://USER:PASSWORD@HOST/PATH, or a video file; without :PASSWORD it is taken from "
        f"{options.PASSWORD_VARIABLE} or asked for",
    )
    options.add_source_file_option(which)
    options.add_store_option(parser)
    parser.add_argument(
        "--transport", choices=("tcp", "udp"), default="tcp", help="RTSP transport (default: %(default)s)"
    )
    options.add_rate_options(parser)
    options.add_decode_option(parser)
    parser.add_argument(
        "--give-up-after",
        type=float,
        metavar="SECONDS",
        help="stop after a camera has been lost for SECONDS (default: never)",
    )
    options.add_recognizer_options(parser)
    options.add_pictures_option(parser)
    parser.add_argument("--clips", action="store_true", help="save a short video of the face with each event")
    parser.add_argument(
        "--pre-roll",
        type=float,
        default=0.4,
        metavar="SECONDS",
        help="how long before the onset a clip begins (default: %(default)s)",
    )
    parser.add_argument(
        "--post-roll",
        type=float,
        default=0.4,
        metavar="SECONDS",
        help="how long after the offset a clip ends (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Watch the source until it ends, or until Ctrl-C or SIGTERM."""
    from merau.stream.pipeline import Pipeline
    from merau.stream.session import start_session
    from merau.stream.sources import SourceSettings, open_source
    from merau.stream.store import Store
    from merau.stream.ui.event_clip import ClipSettings

    clip = ClipSettings(arguments.pre_roll, arguments.post_roll) if arguments.clips else None
    source_settings = SourceSettings(
        paced=True,
        transport=arguments.transport,
        give_up_after_s=arguments.give_up_after,
        decode=arguments.decode,
        rate_hz=arguments.rate,
        captured_rate_hz=arguments.captured_rate,
    )
    given = options.read_sources(arguments, [arguments.source] if arguments.source else [])
    if len(given) > 1:
        raise UserError("{file} names {count} sources: watch takes one.", file=arguments.source_file, count=len(given))
    source = open_source(given[0], source_settings)
    settings = options.pipeline_settings(arguments)
    recognizer = options.warm_up(options.load_recognizer(arguments))
    pipeline = Pipeline(source.name, recognizer, settings, keep_pictures=arguments.keep_pictures)
    session = None

    def stop() -> None:
        threading.Thread(target=source.stop).start()  # in a thread: the handler may have interrupted the source itself

    try:
        with ExitStack() as last, on_stop_signal(stop), source:
            # Made after the source was opened, as there is nothing to store before; closed after it.
            store = last.enter_context(Store(arguments.store, keep_pictures=arguments.keep_pictures))
            session = start_session(source, pipeline, store)
            keep = last.enter_context(keep_clips(source, store, session, clip)) if clip else None
            watch(source, pipeline, store, session, as_json=arguments.json, keep=keep)
    finally:  # also when some of it could not be saved
        if session is not None:
            print_summary(source, arguments.store, session)
    return 0


@contextmanager
def keep_clips(source: "Source", store: "Store", session: int, clip: "ClipSettings") -> "Iterator[Keep]":
    """Store a clip of each event; the yielded function takes each frame result, in order of time."""
    from merau.stream.ui.frame_encoder import EncoderOutputs, FrameEncoder

    with ThreadPoolExecutor(1, "clips") as clip_encoder:
        outputs = EncoderOutputs(
            send_frame=lambda _: None,
            has_viewers=lambda: False,
            store_clip=lambda event, mp4: store.put_clip(session, event.id, mp4),
            clip_encoder=clip_encoder,
        )
        encoder = FrameEncoder(0, outputs, sends_images=False, drops=source.live, clip=clip)
        try:
            yield encoder.push
        finally:
            encoder.end()


def watch(
    source: "Source", pipeline: "Pipeline", store: "Store", session: int, *, as_json: bool, keep: "Keep | None" = None
) -> None:
    """Watch an opened source until it ends; `keep` gets each result, too."""
    from merau.stream.session import run_session

    runtime = pipeline.describe_runtime()
    results = run_session(source, pipeline, store, session)
    with LiveDisplay(source, store, as_json=as_json) as display, closing(results):
        for result in results:
            display.show(result)
            if keep:
                keep(result)
    if (changed := pipeline.describe_runtime()) != runtime:
        print(changed, file=sys.stderr)


def print_summary(source: "Source", store: Path, session: int) -> None:
    """Print on standard error how the source ended, and which events the closed store holds of it."""
    from merau.stream.store import count_events

    state = source.state()
    frames = f"{pluralize(state.frames, 'frame')}, {state.dropped} dropped, {pluralize(len(state.gaps), 'gap')}"
    for note in state.notes:
        print(f"Note: {note}", file=sys.stderr)
    try:
        events = ", ".join(f"{number} {kind}" for kind, number in count_events(store, session).items()) or "none"
    except UserError as error:
        events = f"unknown ({str(error).rstrip('.')})"
    print(plain(f"Ended: {state.reason}. {frames}. Events saved to {store}: {events}."), file=sys.stderr)


class LiveDisplay:
    """Events on standard output, and the status of source and faces on standard error.

    On a terminal the status is one line that is redrawn every second. Elsewhere a line is printed when it changes.
    """

    def __init__(self, source: "Source", store: "Store", *, as_json: bool) -> None:
        self._source, self._store, self._as_json = source, store, as_json
        self._terminal = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._analysed = 0
        self._delay_ms = 0.0
        self._faces = "no face"
        self._flickers = False
        self._last_counts = (time.monotonic(), 0, 0)
        self._last_status = ""
        self._thread = threading.Thread(target=self._refresh, name="status", daemon=True)

    def __enter__(self) -> "LiveDisplay":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with self._lock:
            self._clear_status()

    def show(self, result: "FrameResult") -> None:
        """Print the result's events, and keep the rest for the status."""
        if result.frame is not None:
            self._analysed += 1
            self._flickers = result.flicker > 0
            self._delay_ms = 1000 * (time.monotonic() - result.frame.arrived_s)
            reasons = [f"face {face.track_id}: {face.quality.reason}" for face in result.faces if face.quality.reason]
            self._faces = "; ".join([pluralize(len(result.faces), "face") if result.faces else "no face", *reasons])
        for event in result.events:
            text = json.dumps(event_fields(event)) if self._as_json else event_line(event)
            with self._lock:
                self._clear_status()
                print(text, flush=True)

    def _refresh(self) -> None:
        guard = Guard("status")
        while not self._ended.wait(STATUS_EVERY_S):
            with guard.item(), self._lock:
                state = self._source.state()
                if self._terminal:
                    self._draw_status(state)
                else:
                    self._print_change(state)

    def _draw_status(self, state: "SourceState") -> None:
        self._clear_status()
        width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be redrawn
        sys.stderr.write(self._status_with_rates(state)[:width])
        sys.stderr.flush()

    def _status_with_rates(self, state: "SourceState") -> str:
        now_s, (then_s, captured, analysed) = time.monotonic(), self._last_counts
        self._last_counts = (now_s, state.frames, self._analysed)
        captured_hz = (state.frames - captured) / (now_s - then_s)
        analysed_hz = (self._analysed - analysed) / (now_s - then_s)
        rates = f"{captured_hz:.0f} frames/s, {analysed_hz:.0f} analysed, {state.dropped} dropped"
        delay = f"{self._delay_ms:.0f} ms behind"
        return _join(_phase(state), rates, delay, *self._conditions(state))

    def _print_change(self, state: "SourceState") -> None:
        status = _join(_phase(state), *self._conditions(state))
        if status != self._last_status:
            self._last_status = status
            print(status, file=sys.stderr, flush=True)

    def _conditions(self, state: "SourceState") -> tuple[str, ...]:
        light = "light flickers" if self._flickers else ""
        return self._faces, light, str(state.decoder or ""), self._store_error()

    def _clear_status(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _store_error(self) -> str:
        return str(self._store.last_error or "")


def _phase(state: "SourceState") -> str:
    if state.phase != "lost":
        return state.phase
    return f"lost since {state.since.astimezone():%H:%M:%S}: {state.reason}"


def _join(*parts: str) -> str:
    return " · ".join(part for part in parts if part)
