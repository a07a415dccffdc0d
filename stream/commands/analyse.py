"""`merau analyse`: recordings from end to end into the store, exports and one HTML report each."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from merau.engine.errors import Message, UserError
from merau.engine.text import plain
from merau.stream.commands import options
from merau.stream.events import KINDS
from merau.stream.formatting import event_line, format_timestamp, pluralize

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from merau.engine.recognizer import Recognizer
    from merau.stream.analysis import Analysis
    from merau.stream.batch import Analyser, Outcome, Skipped
    from merau.stream.output_folder import OutputFolder
    from merau.stream.progress import BatchBars
    from merau.stream.recordings import Recording

SKIPPED = (
    "{name}: skipped, it was analysed before with these settings (session {session} of {store}). "
    "--overwrite analyses it again."
)


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    summary = "analyse recordings: save events, exports and an HTML report for each"
    parser = options.add_command(commands, "analyse", summary, run, aliases=("analyze",))
    parser.add_argument("files", metavar="FILE", nargs="+", help="video file, or folder with video files")
    parser.add_argument("--recursive", action="store_true", help="also analyse what is in folders of a folder")
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=1,
        metavar="N",
        help="recordings to analyse at one time, each in its own process (default: %(default)s)",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="analyse on the machines of a Ray cluster: HOST:PORT, or auto for the one that runs here (default: none)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder for the results (default: merau-out; with --json: none)"
    )
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DB",
        help="SQLite file that the events are saved to (default: merau.db, with --out in that folder)",
    )
    options.add_rate_options(parser)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="analyse again what was analysed, and replace results even if they were changed since",
    )
    options.add_recognizer_options(parser)
    options.add_pictures_option(parser)


def _jobs(text: str) -> int:
    """Return a number of processes."""
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of processes: choose 1 to 64")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Analyse each recording; one that fails does not stop the others."""
    from merau.stream.progress import BatchBars
    from merau.stream.recordings import find_recordings

    options.pipeline_settings(arguments)  # tells what is wrong with them before work begins
    recordings = find_recordings(arguments.files, recursive=arguments.recursive)
    recognizer = options.warm_up(options.load_recognizer(arguments))
    jobs = min(arguments.jobs, len(recordings))
    bars = BatchBars(recordings, jobs)
    with _open_output(arguments) as output:
        batch = Batch(output, recognizer, bars, arguments.json, len(recordings))
        try:
            with closing(_outcomes(arguments, recordings, jobs, output, recognizer, bars)) as outcomes:
                for recording, outcome in outcomes:
                    batch.finish(recording, outcome)
        finally:
            bars.close()
            if len(recordings) > 1:
                print(format_batch(batch), file=sys.stderr if arguments.json else sys.stdout, flush=True)
    return 1 if batch.failed else 0


def _outcomes(
    arguments: argparse.Namespace,
    recordings: "Sequence[Recording]",
    jobs: int,
    output: "OutputFolder",
    recognizer: "Recognizer",
    bars: "BatchBars",
) -> "Generator[tuple[Recording, Outcome]]":
    from merau.stream.batch import analyse_in_turn, analyse_in_workers

    if arguments.ray:
        return _outcomes_on_ray(arguments, recordings, output, recognizer)
    if jobs > 1:
        return analyse_in_workers(recordings, jobs, partial(_start_worker, arguments), bars.on_frame)
    return analyse_in_turn(recordings, _analyser(arguments, output, recognizer), bars.on_frame)


def _outcomes_on_ray(
    arguments: argparse.Namespace, recordings: "Sequence[Recording]", output: "OutputFolder", recognizer: "Recognizer"
) -> "Generator[tuple[Recording, Outcome]]":
    from merau.stream.ray_batch import Job, analyse_on_ray

    here = _analyser(arguments, output, recognizer)
    job = Job(
        partial(_load_prepared, arguments),
        here.settings,
        here.source_settings,
        keep_pictures=arguments.keep_pictures,
        pictures=here.pictures,
        needs_gpu=arguments.device == "cuda",
    )
    return analyse_on_ray(recordings, arguments.ray, job, output, recognizer)


def _load_prepared(arguments: argparse.Namespace) -> "Recognizer":
    return options.prepare(options.load_recognizer(arguments))


@contextmanager
def _start_worker(arguments: argparse.Namespace) -> "Iterator[Analyser]":
    """Load what a worker process needs."""
    recognizer = _load_prepared(arguments)
    with _open_output(arguments) as output:
        yield _analyser(arguments, output, recognizer)


def _open_output(arguments: argparse.Namespace) -> "OutputFolder":
    from merau.stream.output_folder import OutputFolder

    folder = arguments.out or (None if arguments.json else Path("merau-out"))
    store = arguments.store or ((arguments.out or Path()) / "merau.db" if folder else None)
    return OutputFolder(folder, store, keep_pictures=arguments.keep_pictures, overwrite=arguments.overwrite)


def _analyser(arguments: argparse.Namespace, output: "OutputFolder", recognizer: "Recognizer") -> "Analyser":
    from merau.stream.batch import Analyser
    from merau.stream.sources import SourceSettings

    return Analyser(
        output,
        recognizer,
        options.pipeline_settings(arguments),
        SourceSettings(rate_hz=arguments.rate, captured_rate_hz=arguments.captured_rate),
        pictures=output.has_folder or arguments.keep_pictures,
    )


@dataclass
class Batch:
    """Writes and prints the outcomes of a batch, and counts them for the last lines.

    Attributes:
        output: Where the results go.
        recognizer: Classified the events.
        bars: Are cleared while lines are printed.
        as_json: Print JSON documents.
        recordings: Number of recordings.
        begun: How many have an outcome.
        analysed: How many were analysed to their end.
        skipped: How many were analysed before.
        partial: How many were interrupted.
        failed: Path and reason of each recording that could not be analysed, or whose results could not be written.
        film_s: Seconds of all recordings that were analysed.
        kinds: Number of events by kind.
        started_s: When the batch began.
    """

    output: "OutputFolder"
    recognizer: "Recognizer"
    bars: "BatchBars"
    as_json: bool
    recordings: int
    begun: int = 0
    analysed: int = 0
    skipped: int = 0
    partial: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    film_s: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    started_s: float = field(default_factory=time.monotonic)

    def finish(self, recording: "Recording", outcome: "Outcome") -> None:
        """Write the results of one recording, and print what was found."""
        from merau.stream.batch import Skipped
        from merau.stream.guard import internal_error

        self.begun += 1
        self.bars.finish(recording, skipped=isinstance(outcome, Skipped))
        with self.bars.hidden():
            try:
                if isinstance(outcome, UserError):
                    raise outcome
                if isinstance(outcome, Skipped):
                    self._print_skipped(recording.path, outcome)
                else:
                    self._write(recording, outcome)
            except BrokenPipeError:
                raise  # nobody reads what is printed
            except Exception as error:
                told = error if isinstance(error, UserError) else internal_error(recording.path, error)
                self.failed.append((recording.path, str(told)))
                print(f"merau: {told}", file=sys.stderr)

    def _write(self, recording: "Recording", analysis: "Analysis") -> None:
        summary = analysis.summary
        self.analysed, self.partial = self.analysed + (not summary.partial), self.partial + summary.partial
        self.film_s += summary.end_s if summary.partial else summary.duration_s
        self.kinds.update(event.kind for event in summary.events)
        written = self.output.write(analysis, self.recognizer.bundle, name=recording.name)
        for note in (*summary.notes, *self.output.notes):
            print(f"Note: {note}", file=sys.stderr)
        print(json.dumps(analysis.document) if self.as_json else format_analysis(analysis, written), flush=True)
        self.output.check()

    def _print_skipped(self, path: str, skipped: "Skipped") -> None:
        """Print that a recording was analysed before; with `as_json` a document with its stored events."""
        from merau.stream.events import event_fields
        from merau.stream.store import read_events

        self.skipped += 1
        session, store = skipped.session, self.output.store_path
        if self.as_json and store:
            events = [event_fields(event) for event in read_events(store, session.id)]
            fields = {"source": plain(path), "skipped": True, "session": session.id, "partial": False, "events": events}
            print(json.dumps(fields), flush=True)
            return
        print(Message(SKIPPED, {"name": path, "session": session.id, "store": store}), flush=True)
        if skipped.report:
            print(plain(f"Report: {skipped.report}"), flush=True)


def format_batch(batch: Batch) -> str:
    """Return what became of a batch, as lines of text: recordings, film, events by kind, and what failed and why."""
    states = {
        "analysed": batch.analysed,
        "skipped": batch.skipped,
        "partial": batch.partial,
        "failed": len(batch.failed),
        "not begun": batch.recordings - batch.begun,
    }
    facts = ", ".join(f"{number} {state}" for state, number in states.items() if number)
    film, took = format_timestamp(batch.film_s), format_timestamp(time.monotonic() - batch.started_s)
    events = ", ".join(f"{batch.kinds[kind]} {kind}" for kind in KINDS if batch.kinds[kind]) or "none"
    lines = [
        f"{pluralize(batch.recordings, 'recording')}: {facts}. {film} of film analysed in {took}.",
        f"Events: {events}.",
        *(f"Failed: {reason if path in reason else f'{path}: {reason}'}" for path, reason in batch.failed),
    ]
    return "\n".join(plain(line) for line in lines)


def format_analysis(analysis: "Analysis", written: list[Path]) -> str:
    """Return counts, events by time, and where the report is, as lines of text."""
    summary = analysis.summary
    whole = format_timestamp(summary.duration_s)
    facts = (
        pluralize(summary.frames, "frame"),
        f"{format_timestamp(summary.end_s)} of {whole}" if summary.partial else f"{whole} long",
        f"analysed at {summary.frames / max(analysis.elapsed_s, 1e-3):.0f} frames/s",
        pluralize(len(summary.tracks), "face"),
        pluralize(len(summary.events), "event"),
    )
    by_apex = sorted(summary.events, key=lambda event: event.apex_s)
    lines = [
        f"{summary.source}: {', '.join(facts)}.",
        *(event_line(event, with_state=False) for event in by_apex),
        *(f"Report: {path}" for path in written if path.suffix == ".html"),
    ]
    return "\n".join(plain(line) for line in lines)
