"""Analysis of one recording from end to end."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.stream.events import Event
from merau.stream.outcome import explain_outcome
from merau.stream.pipeline import Pipeline, PipelineSettings
from merau.stream.session import run_session, session_settings, start_session
from merau.stream.signals import interrupts_between_steps
from merau.stream.sources import File
from merau.stream.store import Session, Store, read_sessions
from merau.stream.store.models import run_name
from merau.stream.store.recorder import SessionStore
from merau.stream.summary import Summary


@dataclass(frozen=True)
class Analysis:
    """What was found in one recording.

    Attributes:
        summary: Events, tracks and notes.
        elapsed_s: How long the analysis took.
        key: Identifies the run; None if it is not stored.
        session: Number of the stored session; None as for `key`.
        interruption: What ended the analysis early; raise it when the results are saved. None after a whole analysis.
    """

    summary: Summary
    elapsed_s: float
    key: "RunKey | None" = None
    session: int | None = None
    interruption: BaseException | None = None

    @property
    def events(self) -> list[Event]:
        """The events as the store has them, for exports."""
        session, run, partial = self.session, self._run_name, self.summary.partial
        analysed_s = {face.track: face.analysed_s for face in self.summary.presence.faces}
        return [
            replace(event, session=session, run=run, partial=partial, analysed_s=analysed_s.get(event.track))
            for event in self.summary.events
        ]

    @property
    def _run_name(self) -> str | None:
        """Name of the run as the store has it."""
        if not (self.key and self.summary.events):
            return None
        return run_name(self.summary.events[0].bundle, self.key.bundle_sha256, self.key.settings)

    @property
    def run(self) -> str:
        """Digest of the run's key; "" without one."""
        return self.key.digest if self.key else ""

    @property
    def content_sha256(self) -> str:
        """Hash of the recording; its name if that is not known."""
        return self.key.content_sha256 if self.key else self.summary.source

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document that `merau analyse FILE --json` prints."""
        return self.summary.document(self.elapsed_s)


@dataclass(frozen=True)
class RunKey:
    """What two runs over recordings have in common if the second finds what the first found.

    Attributes:
        content_sha256: Hash of the recording.
        bundle_sha256: Hash of the recognizer bundle.
        settings: As stored with the session.
    """

    content_sha256: str
    bundle_sha256: str
    settings: dict[str, Any]

    @classmethod
    def of(cls, source: File, recognizer: Recognizer, settings: PipelineSettings, store: SessionStore) -> "RunKey":
        """Read the recording and return the key of a run over it.

        Raises:
            UserError: The recording cannot be read.
        """
        try:
            with Path(source.name).open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError("'{name}' cannot be read: {reason}.", name=source.name, reason=error.strerror) from error
        return cls(content, recognizer.bundle.sha256, session_settings(source, recognizer, settings, store))

    @property
    def digest(self) -> str:
        """Hash of the key."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def matches(self, session: Session) -> bool:
        """Whether a stored session has this key."""
        return self == RunKey(session.content_sha256 or "", session.bundle_sha256, session.settings)


def analyse_file(
    source: File,
    recognizer: Recognizer,
    settings: PipelineSettings,
    *,
    store: SessionStore | None,
    key: RunKey | None = None,
    pictures: bool = True,
    on_event: Callable[[Event], None] = lambda event: None,
    on_frame: Callable[[int, int | None], None] = lambda frames, total: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Analysis:
    """Run an opened file through the pipeline.

    A whole run replaces earlier sessions of the same key, and takes over their labels. An interrupted run (Ctrl-C,
    SIGTERM, or `is_stopped`) returns what was found so far.

    Args:
        source: The opened file.
        recognizer: Classifies the events.
        settings: Settings of the pipeline.
        store: Where the events are saved; None for nowhere.
        key: The key of this run, if it is known already.
        pictures: Whether the events have images, which a report needs.
        on_event: Called with each event, provisional and final.
        on_frame: Called after each frame with the frames so far, and those of the whole recording if known.
        is_stopped: Asked after each frame; True ends the analysis as Ctrl-C does.
    """
    started_s = time.monotonic()
    pipeline = Pipeline(source.name, recognizer, settings, wall_zero=source.wall_zero, keep_pictures=pictures)
    summary = Summary(source.name, source.duration_s)
    summary.slowdown = source.slowdown
    if store and not key:
        key = RunKey.of(source, recognizer, settings, store)
    session = start_session(source, pipeline, store, content_sha256=key.content_sha256) if store and key else None
    interruption: BaseException | None = None
    try:
        with interrupts_between_steps() as check, closing(run_session(source, pipeline, store, session)) as results:
            for result in results:
                check()
                summary.add(result)
                for event in result.events:
                    on_event(event)
                on_frame(summary.frames, source.frames_total)
                if is_stopped():
                    raise KeyboardInterrupt
    except (KeyboardInterrupt, SystemExit) as error:
        interruption = error
        summary.interrupt()
    if isinstance(store, Store) and key and session and not interruption:
        replace_earlier(store, key, session)
    summary.notes += source.state().notes
    summary.note_light()
    if not interruption:
        summary.notes += explain_outcome(summary, settings.faces.detector)
    return Analysis(summary, time.monotonic() - started_s, key, session, interruption)


def replace_earlier(store: Store, key: RunKey, session: int) -> None:
    """Let a whole run take the place of earlier sessions of its key, and take over their labels."""
    earlier = [found.id for found in read_sessions(store.path) if key.matches(found) and found.id != session]
    store.replace_sessions(earlier, session)
