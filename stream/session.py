"""A source through the pipeline into the store: what `watch`, `analyse`, `demo` and the page share."""

import json
import time
from collections.abc import Generator
from dataclasses import asdict

from merau.stream.events import Consent
from merau.stream.pipeline import FrameResult, Pipeline
from merau.stream.sources import Source
from merau.stream.store import Store

NOTE_EVERY_S = 10.0  # how much of a session's frame count and gaps a killed process loses


def record(
    source: Source, pipeline: Pipeline, store: Store | None, session: int | None = None
) -> Generator[FrameResult]:
    """The updates of one session, each stored before it is handed on. Close the iterator to end the session early.

    `session` is one that was begun already (`begin`).
    """
    if store is None:
        yield from pipeline.run(source)
        return
    session = begin(source, pipeline, store) if session is None else session
    noted_s = time.monotonic()
    try:
        for update in pipeline.run(source):
            for event in update.events:
                store.put(session, event)
            if time.monotonic() - noted_s > NOTE_EVERY_S:
                _note(session, source, store)
                noted_s = time.monotonic()
            yield update
    finally:
        _note(session, source, store, ended=True)


def begin(source: Source, pipeline: Pipeline, store: Store, consent: Consent | None = None) -> int:
    """Note a new session in the store; returns its number. Raises UserError when that fails."""
    bundle = pipeline.recognizer.bundle
    return store.start_session(
        source.name,
        settings=json.loads(json.dumps(asdict(pipeline.settings), default=str)),
        bundle=bundle.name,
        bundle_sha256=bundle.sha256,
        consent=consent,
    )


def _note(session: int, source: Source, store: Store, *, ended: bool = False) -> None:
    state = source.state()
    store.update_session(
        session,
        wall_zero=source.wall_zero,
        frames=state.frames,
        dropped=state.dropped,
        gaps=state.gaps,
        ended=ended,
    )
