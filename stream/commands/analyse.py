"""`merau analyse`: recordings from end to end into the store, exports and one HTML report each."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from merau.engine.errors import UserError
from merau.stream.commands import options
from merau.stream.formatting import event_line, format_timestamp, pluralize

if TYPE_CHECKING:
    from merau.stream.analysis import Analysis


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
    options.add_recognizer_options(parser)
    options.add_pictures_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Analyse each file; a file that fails does not stop the others."""
    from merau.stream.analysis import analyse_file
    from merau.stream.output_folder import OutputFolder
    from merau.stream.sources import File, SourceSettings
    from merau.stream.sources.source import internal_error

    settings = options.pipeline_settings(arguments)
    recognizer = options.warm_up(options.load_recognizer(arguments))
    folder = arguments.out or (None if arguments.json else Path("merau-out"))
    store = arguments.store or (folder / "merau.db" if folder else None)
    source_settings = SourceSettings(rate_hz=arguments.rate, captured_rate_hz=arguments.captured_rate)
    pictures = folder is not None or arguments.keep_pictures
    failed = 0
    with OutputFolder(folder, store, keep_pictures=arguments.keep_pictures) as output:
        for path in arguments.files:
            try:
                with File(path, source_settings) as source:
                    analysis = analyse_file(source, recognizer, settings, store=output.store, pictures=pictures)
                written = output.write(analysis, recognizer.bundle)
            except Exception as error:
                failed += 1
                told = error if isinstance(error, UserError) else internal_error(path, error)
                print(f"merau: {told}", file=sys.stderr)
            else:
                for note in analysis.summary.notes:
                    print(f"Note: {note}", file=sys.stderr)
                text = json.dumps(analysis.document) if arguments.json else format_analysis(analysis, written)
                print(text, flush=True)
    return 1 if failed else 0


def format_analysis(analysis: "Analysis", written: list[Path]) -> str:
    """Return counts, events by time, and where the report is, as lines of text."""
    summary = analysis.summary
    facts = (
        pluralize(summary.frames, "frame"),
        f"{format_timestamp(summary.duration_s)} long",
        f"analysed at {summary.frames / max(analysis.elapsed_s, 1e-3):.0f} frames/s",
        pluralize(len(summary.tracks), "face"),
        pluralize(len(summary.events), "event"),
    )
    by_apex = sorted(summary.events, key=lambda event: event.apex_s)
    lines = [
        f"{summary.source}: {', '.join(facts)}.",
        *(event_line(event, with_state=False) for event in by_apex),
        *([f"Report: {written[-1]}"] if written else []),
    ]
    return "\n".join(lines)
