"""One source through the pipeline into the store: shared by `watch`, `analyse`, `demo` and the page."""

import json
import time
from collections.abc import Generator
from dataclasses import asdict

from merau.stream.events import Consent
from merau.stream.pipeline import FrameResult, Pipeline
from merau.stream.sources import Source
from merau.stream.store import Store

UPDATE_EVERY_S = 10.0  # a killed process loses the session's frame count and gaps of this time


def run_session(
    source: Source, pipeline: Pipeline, store: Store | None, session: int | None = None
) -> Generator[FrameResult]:
    """Yield the frame results of one session, after storing their events. Close the iterator to end it early.

    Args:
        source: An opened source.
        pipeline: Analyses the source.
        store: Where events go; None for nowhere.
        session: A session that was started already (`start_session`); by default a new one.
    """
    if store is None:
        yield from pipeline.run(source)
        return
    session = start_session(source, pipeline, store) if session is None else session
    updated_s = time.monotonic()
    try:
        for result in pipeline.run(source):
            for event in result.events:
                store.put(session, event)
            if time.monotonic() - updated_s > UPDATE_EVERY_S:
                _update(session, source, store)
                updated_s = time.monotonic()
            yield result
    finally:
        _update(session, source, store, ended=True)


def start_session(source: Source, pipeline: Pipeline, store: Store, consent: Consent | None = None) -> int:
    """Start a session in the store and return its number.

    Raises:
        UserError: The session cannot be written.
    """
    bundle = pipeline.recognizer.bundle
    return store.start_session(
        source.name,
        settings=json.loads(json.dumps(asdict(pipeline.settings), default=str)),
        bundle=bundle.name,
        bundle_sha256=bundle.sha256,
        consent=consent,
    )


def _update(session: int, source: Source, store: Store, *, ended: bool = False) -> None:
    state = source.state()
    store.update_session(
        session,
        wall_zero=source.wall_zero,
        frames=state.frames,
        dropped=state.dropped,
        gaps=state.gaps,
        ended=ended,
    )
