"""A batch: recordings that are analysed with the same settings, one after the other or in worker processes."""

import multiprocessing
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Event as StopEvent
from pathlib import Path
from typing import TypeAlias

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.stream.analysis import Analysis, RunKey, analyse_file
from merau.stream.guard import internal_error
from merau.stream.log import log_plainly
from merau.stream.output_folder import OutputFolder
from merau.stream.pipeline import PipelineSettings
from merau.stream.progress import OnFrame
from merau.stream.recordings import Recording
from merau.stream.signals import interrupts_between_steps, signals_ignored
from merau.stream.sources import File, SourceSettings
from merau.stream.store import Session

REPORT_EVERY_S = 0.2  # how often a worker tells its frames
CHECK_EVERY_S = 0.2  # how often Ctrl-C is looked for while all workers are busy
EXIT_S = 30  # how long a worker that has told everything may take to end


@dataclass(frozen=True)
class Skipped:
    """A recording that was analysed before in the same way.

    Attributes:
        session: Its session.
        report: Its report; None if there is none.
    """

    session: Session
    report: Path | None


Outcome: TypeAlias = Analysis | Skipped | UserError


@dataclass(frozen=True)
class Analyser:
    """Analyses the recordings of a batch.

    Attributes:
        output: Knows what was done before, and has the store.
        recognizer: Classifies the events.
        settings: Settings of the pipeline.
        source_settings: Settings of the files.
        pictures: Whether the events have images.
    """

    output: OutputFolder
    recognizer: Recognizer
    settings: PipelineSettings
    source_settings: SourceSettings
    pictures: bool

    def __call__(self, path: str, on_frame: OnFrame, is_stopped: Callable[[], bool] = lambda: False) -> Outcome:
        """Analyse one recording unless that was done before; an error is returned, not raised."""
        try:
            return self._analyse(path, on_frame, is_stopped)
        except Exception as error:
            return error if isinstance(error, UserError) else internal_error(path, error)

    def _analyse(self, path: str, on_frame: OnFrame, is_stopped: Callable[[], bool]) -> Outcome:
        with File(path, self.source_settings) as source:
            store = self.output.store  # now that there is something to store
            key = RunKey.of(source, self.recognizer, self.settings, store) if store else None
            if key and (session := self.output.find_session(key)):
                return Skipped(session, self.output.report_of(key))
            analysis = analyse_file(
                source,
                self.recognizer,
                self.settings,
                store=store,
                key=key,
                pictures=self.pictures,
                on_frame=on_frame,
                is_stopped=is_stopped,
            )
        if store:
            store.flush()
        return analysis


Start: TypeAlias = Callable[[], AbstractContextManager[Analyser]]
OnRecordingFrame: TypeAlias = Callable[[Recording, int, int | None], None]


def analyse_in_turn(
    recordings: Sequence[Recording], analyser: Analyser, on_frame: OnRecordingFrame
) -> Generator[tuple[Recording, Outcome]]:
    """Yield each recording with its outcome.

    Raises:
        KeyboardInterrupt, SystemExit: A signal came, after what was found so far is yielded.
    """
    for recording in recordings:

        def tell(frames: int, total: int | None, recording: Recording = recording) -> None:
            on_frame(recording, frames, total)

        outcome = analyser(recording.path, tell)
        yield recording, outcome
        if isinstance(outcome, Analysis) and outcome.interruption:
            raise outcome.interruption


def analyse_in_workers(
    recordings: Sequence[Recording], jobs: int, start: Start, on_frame: OnRecordingFrame
) -> Generator[tuple[Recording, Outcome]]:
    """Yield each recording with its outcome, in the order in which the workers are done.

    A worker that dies costs its recording only. Workers end with this process, however that ends.

    Args:
        recordings: The batch.
        jobs: Number of workers.
        start: Called in each worker; must be importable there (no lambda).
        on_frame: Called with the frames of each recording that is at work.

    Raises:
        UserError: A worker cannot start, or cannot store what it found.
        KeyboardInterrupt, SystemExit: A signal came, after what was found so far is yielded.
    """
    waiting, workers = list(recordings), list[_Worker]()
    interruption: BaseException | None = None
    with signals_ignored():  # the whole group gets Ctrl-C: only this process is to act on it
        stop = multiprocessing.get_context("spawn").Event()
    try:
        with interrupts_between_steps() as check:
            while waiting or any(worker.recording for worker in workers):
                _assign(waiting, workers, jobs, start, stop)
                for worker in _ready(workers):
                    message = worker.receive()
                    if isinstance(message, _Frames):
                        on_frame(message.recording, message.frames, message.total)
                    elif message is not None:
                        yield message
                workers = [worker for worker in workers if worker.is_usable]
                try:
                    check()
                except (KeyboardInterrupt, SystemExit) as error:
                    interruption = interruption or error
                    waiting.clear()
                    stop.set()
            for worker in workers:
                worker.end()
    finally:
        stop.set()
        for worker in workers:
            worker.close()
    if interruption:
        raise interruption


@dataclass(frozen=True)
class _Frames:
    recording: Recording
    frames: int
    total: int | None


class _Worker:
    """One process and the recording that it is at."""

    def __init__(self, start: Start, stop: StopEvent) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, stop, start), daemon=True)
        with signals_ignored():
            self._process.start()
        theirs.close()
        self.recording: Recording | None = None
        self.is_usable = True

    @property
    def connection(self) -> Connection:
        """What to wait for."""
        return self._connection

    def send(self, recording: Recording) -> None:
        """Give it work. A worker that is dead is found out by `receive`."""
        self.recording = recording
        with suppress(OSError):
            self._connection.send(recording.path)

    def receive(self) -> "_Frames | tuple[Recording, Outcome] | None":
        """Take what it tells.

        Raises:
            UserError: It could not start.
        """
        recording = self.recording
        try:
            message = self._connection.recv()
        except (EOFError, OSError):
            return self._bury(recording)
        if isinstance(message, _Failure):
            raise message.error
        if recording is None:
            return None
        if isinstance(message, tuple):
            return _Frames(recording, *message)
        self.recording = None
        return recording, message

    def end(self) -> None:
        """Wait until it has stored everything and is gone.

        Raises:
            UserError: It could not store everything.
        """
        with suppress(OSError):
            self._connection.send(None)
        try:
            message = self._connection.recv()
        except (EOFError, OSError):
            message = None
        self._end_process()
        if isinstance(message, _Failure):
            raise message.error

    def close(self) -> None:
        """Leave it to itself: it ends as nobody listens."""
        self._connection.close()

    def _end_process(self) -> None:
        """Wait until the process is gone; one that does not end by itself is killed."""
        self._process.join(EXIT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _bury(self, recording: Recording | None) -> tuple[Recording, Outcome] | None:
        self._end_process()
        self._connection.close()
        self.recording, self.is_usable = None, False
        if recording is None:
            return None
        return recording, UserError(
            "{name}: the process that analysed it ended unexpectedly (exit code {code}), perhaps for lack of memory: "
            "use fewer --jobs.",
            name=recording.path,
            code=self._process.exitcode,
        )


@dataclass(frozen=True)
class _Failure:
    """What keeps a worker from its work."""

    error: UserError


def _assign(waiting: list[Recording], workers: "list[_Worker]", jobs: int, start: Start, stop: StopEvent) -> None:
    """Give work to workers that have none.

    Two files of one size may have the same content: never at one time, so that the second is skipped.
    """
    while waiting:
        worker = next((worker for worker in workers if not worker.recording), None)
        sizes = {worker.recording.size for worker in workers if worker.recording}
        recording = next((recording for recording in waiting if recording.size not in sizes), None)
        if recording is None or (worker is None and len(workers) >= jobs):
            return
        if worker is None:
            worker = _Worker(start, stop)
            workers.append(worker)
        waiting.remove(recording)
        worker.send(recording)


def _ready(workers: "list[_Worker]") -> "list[_Worker]":
    """Wait a moment for workers that have something to tell."""
    ready = wait([worker.connection for worker in workers], timeout=CHECK_EVERY_S)
    return [worker for worker in workers if worker.connection in ready]


def _work(connection: Connection, stop: StopEvent, start: Start) -> None:
    """The life of a worker."""
    log_plainly()
    with suppress(BrokenPipeError, ConnectionError, EOFError):  # the process that started it is gone
        try:
            with start() as analyser:
                while (path := connection.recv()) is not None:
                    connection.send(analyser(path, _teller(connection), stop.is_set))
        except UserError as error:
            connection.send(_Failure(error))


def _teller(connection: Connection) -> OnFrame:
    """Return what tells the frames so far, a few times each second."""
    told_s = 0.0

    def tell(frames: int, total: int | None) -> None:
        nonlocal told_s
        if time.monotonic() - told_s > REPORT_EVERY_S:
            told_s = time.monotonic()
            connection.send((frames, total))

    return tell
