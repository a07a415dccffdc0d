"""One camera on a node of a cluster: analysed there, taken down, and pulled by the process that stores it."""

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.stream.events import Consent, Retention
from merau.stream.guard import internal_error
from merau.stream.log import log_plainly
from merau.stream.pipeline import Pipeline, PipelineSettings
from merau.stream.session import run_session, start_session
from merau.stream.sources import Source, SourceSettings, open_source
from merau.stream.sources.source import SourceState
from merau.stream.store.recorder import SessionRecorder, Write

STOP_LIMIT_S = 20.0


@dataclass(frozen=True)
class CameraJob:
    """What a node needs to analyse a camera.

    Attributes:
        name: Name of the camera.
        address: Its source, with its password; must not be shown.
        source: How the source is opened.
        settings: How it is analysed.
        load: Loads the recognizer; importable on the node.
        consent: What was agreed to; None for a recording.
        retention: How long what is recorded is kept.
    """

    name: str
    address: str = field(repr=False)
    source: SourceSettings
    settings: PipelineSettings
    load: Callable[[], Recognizer]
    consent: Consent | None
    retention: Retention


@dataclass(frozen=True)
class Pulled:
    """What a node has to tell since the last time.

    Attributes:
        writes: What the session would have stored.
        state: State of the source; None until it is opened.
        wall_zero: Clock time of the first frame; None as for `state`.
        end_s: Time of the newest frame that was analysed.
        error: Why the analysis ended; "" if there is no reason to give.
        is_over: Whether nothing comes after this.
    """

    writes: list[Write]
    state: SourceState | None
    wall_zero: datetime | None
    end_s: float
    error: str
    is_over: bool


class CameraOnNode:
    """Analyses one camera from its creation on, in a thread."""

    def __init__(self, job: CameraJob) -> None:
        log_plainly()
        self._job, self._recorder = job, SessionRecorder(keep_pictures=False)
        self._source: Source | None = None
        self._end_s, self._error = 0.0, ""
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def pull(self) -> Pulled:
        """Return what there is to tell since the last time."""
        is_over = not self._thread.is_alive()  # first: what comes after would be missed
        source = self._source
        state, zero = (source.state(), source.wall_zero) if source else (None, None)
        return Pulled(self._recorder.take(), state, zero, self._end_s, self._error, is_over)

    def stop(self) -> None:
        """End the analysis; the next pull has the rest."""
        if self._source:
            self._source.stop()
        self._thread.join(STOP_LIMIT_S)

    def _run(self) -> None:
        job = self._job
        try:
            recognizer = job.load()
            self._source = source = open_source(job.address, job.source)
            with source:
                pipeline = Pipeline(job.name, recognizer, job.settings, wall_zero=source.wall_zero)
                consent = job.consent if source.live else None
                session = start_session(source, pipeline, self._recorder, consent, retention=job.retention)
                with closing(run_session(source, pipeline, self._recorder, session)) as results:
                    for result in results:
                        if result.frame is not None:
                            self._end_s = result.frame.t_s
        except Exception as error:  # whatever it is, it must be told
            self._error = str(error if isinstance(error, UserError) else internal_error(job.name, error))
