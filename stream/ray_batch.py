"""A batch on a Ray cluster: each recording is a task, which runs elsewhere again when its node dies.

The nodes only compute. What they found comes back to this process, which alone writes to the store, so a recording is
stored once however often its task ran.
"""

import logging
import os
import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.stream.analysis import Analysis, RunKey, analyse_file, replace_earlier
from merau.stream.batch import CHECK_EVERY_S, Outcome, Skipped
from merau.stream.guard import internal_error
from merau.stream.log import log_plainly
from merau.stream.output_folder import OutputFolder
from merau.stream.pipeline import PipelineSettings
from merau.stream.recordings import Recording
from merau.stream.signals import interrupts_between_steps
from merau.stream.sources import File, SourceSettings
from merau.stream.store.recorder import SessionRecorder, Write, write_session

RETRIES = 3  # of a task whose node or process dies
QUEUED = 2  # tasks for each processor that the cluster knows of, so that none waits for this process
GPU_SHARE = 0.25  # of one GPU, for each recording with --device cuda


@dataclass(frozen=True)
class Job:
    """What a node needs to analyse recordings as this process would.

    Attributes:
        load: Loads the recognizer; importable on the node.
        settings: Settings of the pipeline.
        source_settings: Settings of the files.
        keep_pictures: Whether the store keeps the events' images.
        pictures: Whether the events have images.
        needs_gpu: Whether the recognizer runs on a GPU.
    """

    load: Callable[[], Recognizer]
    settings: PipelineSettings
    source_settings: SourceSettings
    keep_pictures: bool
    pictures: bool
    needs_gpu: bool = False


def analyse_on_ray(
    recordings: Sequence[Recording], address: str, job: Job, output: OutputFolder, recognizer: Recognizer
) -> Generator[tuple[Recording, Outcome]]:
    """Yield each recording with its outcome, in the order in which the nodes are done.

    Args:
        recordings: The batch; each path must be the same file on every node.
        address: HOST:PORT of the cluster, or "auto" for that of this machine.
        job: How to analyse.
        output: Knows what was done before, and has the store. Only this process writes to it.
        recognizer: As `job` loads it.

    Raises:
        UserError: There is no such cluster, or the store cannot be written.
        KeyboardInterrupt, SystemExit: A signal came; what was found so far is stored.
    """
    with connected(address) as ray:
        batch = _RayBatch(ray, job, output, recognizer)
        waiting = list(recordings)
        with interrupts_between_steps() as check:
            while waiting or batch.running:
                while waiting and batch.has_room:
                    if (outcome := batch.start(waiting[0])) is None:
                        waiting.pop(0)
                    elif isinstance(outcome, _Twin):
                        break  # the same content is being analysed: this one will be skipped
                    else:
                        yield waiting.pop(0), outcome
                yield from batch.collect()
                check()


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a cluster until the end of a `with` block; yields the module `ray`.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed: pip install 'merau-live[ray]'.") from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            "There is no Ray cluster at '{address}': start one with `ray start --head`, and name it as HOST:PORT.",
            address=address,
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


class _Twin:
    """The same content is being analysed."""


class _RayBatch:
    """The tasks of a batch that run.

    Attributes:
        running: Recording and key of each task.
    """

    def __init__(self, ray: Any, job: Job, output: OutputFolder, recognizer: Recognizer) -> None:
        self._ray, self._job, self._output, self._recognizer = ray, job, output, recognizer
        share = GPU_SHARE if job.needs_gpu else 0
        self._task = ray.remote(
            max_retries=RETRIES, retry_exceptions=False, num_cpus=1, num_gpus=share, scheduling_strategy="SPREAD"
        )(analyse_here)
        self._pickled = ray.put(pickle.dumps(job))
        self.running: dict[Any, tuple[Recording, RunKey | None]] = {}

    @property
    def has_room(self) -> bool:
        """Whether another task may be started."""
        processors = self._ray.cluster_resources().get("CPU", 1.0)
        return len(self.running) < QUEUED * max(float(processors), 1.0)

    def start(self, recording: Recording) -> "Outcome | _Twin | None":
        """Start a task; returns None, or why none is needed."""
        try:
            key = self._key_of(recording)
        except UserError as error:
            return error
        if key and any(key == other for _, other in self.running.values()):
            return _Twin()
        if key and (session := self._output.find_session(key)):
            return Skipped(session, self._output.report_of(key))
        self.running[self._task.remote(self._pickled, recording.path)] = recording, key
        return None

    def collect(self) -> Iterator[tuple[Recording, Outcome]]:
        """Wait a moment for tasks that are done; store and yield what they found."""
        done, _ = self._ray.wait(list(self.running), timeout=CHECK_EVERY_S) if self.running else ([], [])
        for reference in done:
            recording, key = self.running.pop(reference)
            try:
                outcome = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                logging.getLogger(__name__).debug("%s", error)
                yield (
                    recording,
                    UserError(
                        "{name}: its node or its process died {count} times, perhaps for lack of memory.",
                        name=recording.path,
                        count=RETRIES + 1,
                    ),
                )
                continue
            yield recording, outcome if isinstance(outcome, UserError) else self._store(recording, key, *outcome)

    def _key_of(self, recording: Recording) -> RunKey | None:
        with File(recording.path, self._job.source_settings) as source:
            store = self._output.store
            return RunKey.of(source, self._recognizer, self._job.settings, store) if store else None

    def _store(self, recording: Recording, key: RunKey | None, analysis: Analysis, writes: list[Write]) -> Outcome:
        """Store what a node found; a node with another version or another file of this name is refused."""
        store = self._output.store
        if not (store and key):
            return replace(analysis, key=None, session=None)
        if analysis.key != key:
            return UserError(
                "{name}: the node that analysed it has another version of merau, other settings or another file of "
                "this name: install the same version, and share the folder.",
                name=recording.path,
            )
        session = write_session(writes, store)
        replace_earlier(store, key, session)
        store.flush()
        return replace(analysis, session=session)


def analyse_here(job: bytes, path: str) -> tuple[Analysis, list[Write]] | UserError:
    """Analyse one recording on the node that runs this; an error is returned, not raised."""
    log_plainly()
    try:
        settings, recognizer = _prepare(job)
        with File(path, settings.source_settings) as source:
            recorder = SessionRecorder(keep_pictures=settings.keep_pictures)
            analysis = analyse_file(source, recognizer, settings.settings, store=recorder, pictures=settings.pictures)
    except Exception as error:
        return error if isinstance(error, UserError) else internal_error(path, error)
    if analysis.interruption:
        return UserError("{name}: its analysis was interrupted on its node.", name=path)
    return analysis, recorder.take()


@lru_cache(1)
def _prepare(job: bytes) -> tuple[Job, Recognizer]:
    """Load what a process of a node needs for all its tasks."""
    settings: Job = pickle.loads(job)  # noqa: S301  (comes from this program, by the cluster that runs its code)
    return settings, settings.load()
