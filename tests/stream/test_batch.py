import os
import random
import signal
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.stream.analysis import Analysis
from merau.stream.batch import Analyser, Skipped, analyse_in_turn, analyse_in_workers
from merau.stream.events import event_fields
from merau.stream.output_folder import OutputFolder
from merau.stream.pipeline import PipelineSettings
from merau.stream.recordings import find_recordings
from merau.stream.sources import SourceSettings
from merau.stream.store import read_events, read_sessions
from tests.clips import encode_demo_start


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Two recordings of one name with a blink, and a copy of the first."""
    folder = tmp_path_factory.mktemp("interviews")
    for name, seconds in (("P1", 2.2), ("P2", 2.4)):
        (folder / name).mkdir()
        encode_demo_start(folder / name / "talk.mp4", seconds)
    (folder / "P3").mkdir()
    (folder / "P3/copy.mp4").write_bytes((folder / "P1/talk.mp4").read_bytes())
    return find_recordings([str(folder)], recursive=True)


@contextmanager
def start(store: Path):
    recognizer = Recognizer.load(device="cpu")
    with OutputFolder(None, store) as output:
        yield Analyser(output, recognizer, PipelineSettings(), SourceSettings(), pictures=False)


@contextmanager
def start_and_die_at_the_second(store: Path):
    """As `start`, but the process is killed as by the system when it gets the recording of P2."""
    with start(store) as analyser:

        def analyse(path, on_frame, is_stopped):
            if "P2" in path:
                os.kill(os.getpid(), signal.SIGKILL)
            return analyser(path, on_frame, is_stopped)

        yield analyse


def ignore(recording, frames, total):
    pass


def stored(store: Path):
    """All that a store holds, without what differs from run to run: numbers and times of sessions."""
    sessions = read_sessions(store)
    assert len({session.source for session in sessions}) == len(sessions)
    return {
        session.source: (
            session.settings,
            session.frames,
            session.gaps,
            session.content_sha256,
            session.partial,
            [event_fields(event) for event in read_events(store, session.id)],
        )
        for session in sessions
    }


@pytest.fixture(scope="module")
def whole(recordings, tmp_path_factory):
    """The store of a batch that nothing interrupted."""
    store = tmp_path_factory.mktemp("whole") / "merau.db"
    with start(store) as analyser:
        outcomes = dict(analyse_in_turn(recordings, analyser, ignore))
    assert [type(outcomes[recording]) for recording in recordings] == [Analysis, Analysis, Skipped]
    assert all(events for *_, events in stored(store).values())
    return stored(store)


def test_workers_store_what_one_process_stores(recordings, whole, tmp_path):
    frames = dict.fromkeys(recordings, 0)

    def count(recording, number, total):
        assert number <= total
        frames[recording] = number

    outcomes = dict(analyse_in_workers(recordings, 2, partial(start, tmp_path / "merau.db"), count))
    assert [type(outcomes[recording]) for recording in recordings] == [Analysis, Analysis, Skipped]
    assert stored(tmp_path / "merau.db") == whole
    assert all(frames[recording] > 0 for recording in recordings[:2])


def test_worker_that_dies_costs_its_recording_only(recordings, tmp_path):
    die = partial(start_and_die_at_the_second, tmp_path / "merau.db")
    outcomes = dict(analyse_in_workers(recordings, 1, die, ignore))
    first, second, copy = (outcomes[recording] for recording in recordings)
    assert isinstance(first, Analysis) and isinstance(copy, Skipped)
    assert isinstance(second, UserError)
    assert "P2" in str(second) and "ended unexpectedly (exit code -9)" in str(second)


def test_interrupt_stops_all_workers_and_keeps_what_they_found(recordings, tmp_path):
    outcomes, interrupts = [], []

    def interrupt(recording, number, total):
        if not interrupts:  # a second signal kills
            interrupts.append(recording)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        for outcome in analyse_in_workers(recordings, 2, partial(start, tmp_path / "merau.db"), interrupt):
            outcomes.append(outcome)
    assert [analysis.summary.partial for recording, analysis in outcomes if recording in interrupts] == [True]
    assert [session.partial for session in read_sessions(tmp_path / "merau.db")] == [True] * len(outcomes)


def test_batch_interrupted_ten_times_ends_as_a_whole_one(recordings, whole, tmp_path):
    store, rng = tmp_path / "merau.db", random.Random(1)
    with start(store) as analyser:
        for _ in range(10):
            left = rng.randrange(1, 100)

            def stop(recording, number, total):
                nonlocal left
                left -= 1
                if not left:
                    raise KeyboardInterrupt

            with suppress(KeyboardInterrupt):
                list(analyse_in_turn(recordings, analyser, stop))
        partial_ones = [session.partial for session in read_sessions(store)]
        assert any(partial_ones) or len(partial_ones) == 2
        list(analyse_in_turn(recordings, analyser, ignore))
    assert stored(store) == whole
