"""`merau analyse`: recordings from end to end into the store, exports and one HTML report each."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from merau.engine.errors import Message, UserError
from merau.engine.text import plain
from merau.stream.commands import options
from merau.stream.formatting import event_line, format_timestamp, pluralize

if TYPE_CHECKING:
    from merau.engine.recognizer import Recognizer
    from merau.stream.analysis import Analysis
    from merau.stream.output_folder import OutputFolder
    from merau.stream.pipeline import PipelineSettings
    from merau.stream.sources import SourceSettings
    from merau.stream.store import Session

SKIPPED = (
    "{name}: skipped, it was analysed before with these settings (session {session} of {store}). "
    "--overwrite analyses it again."
)


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    summary = "analyse recordings: save events, exports and an HTML report for each"
    parser = options.add_command(commands, "analyse", summary, run, aliases=("analyze",))
    parser.add_argument("files", metavar="FILE", nargs="+", help="video file")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder for the results (default: merau-out; with --json: none)"
    )
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DB",
        help="SQLite file that the events are saved to (default: merau.db in the folder)",
    )
    options.add_rate_options(parser)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="analyse again what was analysed, and replace results even if they were changed since",
    )
    options.add_recognizer_options(parser)
    options.add_pictures_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Analyse each file; a file that fails does not stop the others."""
    from merau.stream.guard import internal_error
    from merau.stream.output_folder import OutputFolder
    from merau.stream.sources import SourceSettings

    settings = options.pipeline_settings(arguments)
    recognizer = options.warm_up(options.load_recognizer(arguments))
    folder = arguments.out or (None if arguments.json else Path("merau-out"))
    store = arguments.store or (folder / "merau.db" if folder else None)
    source_settings = SourceSettings(rate_hz=arguments.rate, captured_rate_hz=arguments.captured_rate)
    pictures = folder is not None or arguments.keep_pictures
    failed = 0
    with OutputFolder(folder, store, keep_pictures=arguments.keep_pictures, overwrite=arguments.overwrite) as output:
        batch = Batch(output, recognizer, settings, source_settings, pictures, arguments.json)
        for path in arguments.files:
            try:
                batch.analyse(path)
            except Exception as error:
                failed += 1
                told = error if isinstance(error, UserError) else internal_error(path, error)
                print(f"merau: {told}", file=sys.stderr)
    return 1 if failed else 0


@dataclass(frozen=True)
class Batch:
    """What the analyses of all files have in common.

    Attributes:
        output: Where the results go.
        recognizer: Classifies the events.
        settings: Settings of the pipeline.
        source_settings: Settings of the files.
        pictures: Whether the events have images.
        as_json: Print JSON documents.
    """

    output: "OutputFolder"
    recognizer: "Recognizer"
    settings: "PipelineSettings"
    source_settings: "SourceSettings"
    pictures: bool
    as_json: bool

    def analyse(self, path: str) -> None:
        """Analyse one file unless that was done before, and print what was found.

        Raises:
            UserError: The file cannot be analysed, or its results cannot be written.
        """
        from merau.stream.analysis import RunKey, analyse_file
        from merau.stream.sources import File

        with File(path, self.source_settings) as source:
            store = self.output.store  # now that there is something to store
            key = RunKey.of(source, self.recognizer, self.settings, store) if store else None
            if store and key and (session := self.output.find_session(key)):
                self._print_skipped(path, session, store.path, self.output.report_of(key))
                return
            analysis = analyse_file(
                source, self.recognizer, self.settings, store=store, key=key, pictures=self.pictures
            )
        written = self.output.write(analysis, self.recognizer.bundle)
        for note in (*analysis.summary.notes, *self.output.notes):
            print(f"Note: {note}", file=sys.stderr)
        print(json.dumps(analysis.document) if self.as_json else format_analysis(analysis, written), flush=True)
        self.output.check()
        if analysis.interruption:
            raise analysis.interruption

    def _print_skipped(self, path: str, session: "Session", store: Path, report: Path | None) -> None:
        """Print that a recording was analysed before; with `as_json` a document with its stored events."""
        from merau.stream.events import event_fields
        from merau.stream.store import read_events

        if self.as_json:
            events = [event_fields(event) for event in read_events(store, session.id)]
            fields = {"source": plain(path), "skipped": True, "session": session.id, "partial": False, "events": events}
            print(json.dumps(fields), flush=True)
            return
        values = {"name": path, "session": session.id, "store": store}
        print(Message(SKIPPED, values), flush=True)
        if report:
            print(plain(f"Report: {report}"), flush=True)


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
