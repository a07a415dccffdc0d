"""One source through the pipeline into the store: shared by `watch`, `analyse`, `demo` and the page."""

import json
import time
from collections.abc import Generator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from merau.engine.recognizer import Recognizer
from merau.stream.events import NO_RETENTION, Consent, Retention
from merau.stream.pipeline import FrameResult, Pipeline, PipelineSettings
from merau.stream.presence import Presence
from merau.stream.sources import Source
from merau.stream.sources.source import STOPPED
from merau.stream.store.recorder import SessionStore
from merau.stream.summary import MotionTraces

UPDATE_EVERY_S = 10.0  # a killed process loses the session's frame count and gaps of this time


def run_session(
    source: Source, pipeline: Pipeline, store: SessionStore | None, session: int | None = None
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
    presence, traces, complete = Presence(), MotionTraces(), False
    try:
        for result in pipeline.run(source):
            presence.add(result)
            traces.add(result)
            for event in result.events:
                store.put(session, event)
            if time.monotonic() - updated_s > UPDATE_EVERY_S:
                _update(session, source, store, presence)
                updated_s = time.monotonic()
            yield result
        complete = was_read_to_end(source)
    finally:
        for curve in traces.curves():
            store.put_curve(session, curve)
        _update(session, source, store, presence, ended=True, partial=not (source.live or complete))


def was_read_to_end(source: Source) -> bool:
    """Whether a source whose frames are over ended by itself, and was not stopped."""
    return source.state().reason != STOPPED


def start_session(
    source: Source,
    pipeline: Pipeline,
    store: SessionStore,
    consent: Consent | None = None,
    *,
    retention: Retention = NO_RETENTION,
    content_sha256: str | None = None,
) -> int:
    """Start a session in the store and return its number. That of a recording is partial until its end.

    Raises:
        UserError: The session cannot be written.
    """
    bundle = pipeline.recognizer.bundle
    return store.start_session(
        source.name if source.live else pipeline.source_name,  # an upload has its name, not where it lay
        settings=session_settings(source, pipeline.recognizer, pipeline.settings, store),
        bundle=bundle.name,
        bundle_sha256=bundle.sha256,
        consent=consent,
        retention_h=retention.hours,
        retention_kinds=retention.kinds,
        content_sha256=content_sha256,
        partial=not source.live,
    )


def session_settings(
    source: Source, recognizer: Recognizer, settings: PipelineSettings, store: SessionStore
) -> dict[str, Any]:
    """Return what decides, beside source and bundle, which events a session finds and what is stored of them."""
    head = recognizer.few_shot_head
    others: dict[str, Any] = {
        "source": asdict(source.settings),
        "precision": recognizer.runtime.precision,
        "head_sha256": head.sha256 if head else None,
        "keep_pictures": store.keep_pictures,
        "version": version("merau-live"),
    }
    described = {name: value for name, value in asdict(settings).items() if name != "mask" or value}
    if source.slowdown != 1:
        others["slowdown"] = source.slowdown
    as_json: dict[str, Any] = json.loads(json.dumps(described | others, default=str))
    return as_json


def _update(
    session: int,
    source: Source,
    store: SessionStore,
    presence: Presence,
    *,
    ended: bool = False,
    partial: bool | None = None,
) -> None:
    state = source.state()
    for face in presence.faces:
        store.put_face(session, face)
    store.update_session(
        session,
        wall_zero=source.wall_zero,
        frames=state.frames,
        dropped=state.dropped,
        gaps=state.gaps,
        ended=ended,
        partial=partial,
        end_s=presence.end_s,
    )
