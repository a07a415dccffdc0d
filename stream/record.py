"""A source through the pipeline into the store: what `watch`, `analyse` and `demo` share."""

import json
import time
from collections.abc import Generator
from dataclasses import asdict

from stream.events import Store
from stream.pipeline import Pipeline, Update
from stream.sources import Source

NOTE_EVERY_S = 10.0  # how much of a session's frame count and gaps a killed process loses


def record(source: Source, pipeline: Pipeline, store: Store | None) -> Generator[Update]:
    """The updates of one session, each stored before it is handed on. Close the iterator to end the session early."""
    if store is None:
        yield from pipeline.run(source)
        return
    bundle = pipeline.recognizer.bundle
    settings = json.loads(json.dumps(asdict(pipeline.settings), default=str))
    session = store.begin(source.name, settings=settings, bundle=bundle.name, bundle_sha256=bundle.sha256)
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


def _note(session: int, source: Source, store: Store, *, ended: bool = False) -> None:
    state = source.state()
    store.progress(
        session,
        wall_zero=source.wall_zero,
        frames=state.frames,
        dropped=state.dropped,
        gaps=state.gaps,
        ended=ended,
    )
