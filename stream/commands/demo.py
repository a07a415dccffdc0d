"""`merau demo`: the demo clip at its own pace through the live path, beside its ground truth."""

import argparse
import json
import sys
from pathlib import Path

from merau.stream.commands import options
from merau.stream.demo import CLIP, comparison_table, match_events, read_ground_truth
from merau.stream.events import Event
from merau.stream.formatting import event_line


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    summary = "analyse a clip with known ground truth and compare; needs no camera"
    parser = options.add_command(commands, "demo", summary, run)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("merau-demo"),
        metavar="FOLDER",
        help="folder for the report (default: %(default)s)",
    )
    parser.add_argument("--no-ui", action="store_true", help="end after the comparison, without the live page")
    options.add_bundle_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Analyse the clip, print the comparison, and serve the live page."""
    from merau.engine.recognizer import Recognizer
    from merau.stream.analysis import analyse_file
    from merau.stream.output_folder import OutputFolder
    from merau.stream.pipeline import PipelineSettings
    from merau.stream.progress import file_bar
    from merau.stream.sources import File, SourceSettings

    recognizer, truth = options.warm_up(Recognizer.load(arguments.bundle)), read_ground_truth()
    on_event = _ignore if arguments.json else _print_event
    with (
        OutputFolder(arguments.out, arguments.out / "merau.db") as output,
        File(str(CLIP), SourceSettings(paced=True)) as source,
    ):
        with file_bar(CLIP.name) as on_frame:
            analysis = analyse_file(
                source, recognizer, PipelineSettings(), store=output.store, on_event=on_event, on_frame=on_frame
            )
        written = output.write(analysis, recognizer.bundle, truth=truth)
    output.check()
    if analysis.interruption:
        raise analysis.interruption
    for note in output.notes:
        print(f"Note: {note}", file=sys.stderr)
    matches = match_events(truth, analysis.summary.events)
    if arguments.json:
        print(json.dumps(analysis.document | {"truth": [match.fields() for match in matches if match.span]}))
    else:
        print(f"\n{comparison_table(matches)}\n\nReport: {written[-1]}", flush=True)
        if not arguments.no_ui:
            _serve_page(arguments.out / "page.db", arguments.bundle)
    return 0


def _print_event(event: Event) -> None:
    """Print the event above the progress bar."""
    from tqdm import tqdm

    tqdm.write(event_line(event))
    sys.stdout.flush()


def _ignore(event: Event) -> None:
    """With --json only the document is printed."""


def _serve_page(store: Path, bundle: Path | None) -> None:
    """Serve the live page for the clip: on a terminal until Ctrl-C, else until it was seen to answer."""
    from merau.engine.recognizer import Recognizer
    from merau.stream.ui.config import UiSettings
    from merau.stream.ui.server import App, until_stopped

    def load(other: Path | None = None) -> Recognizer:
        return Recognizer.load(other or bundle)

    app = App([str(CLIP)], load, UiSettings(port=0), store=store)
    with until_stopped(app) as stopped:
        print(f"Live page: {app.address}", end="", flush=True)
        if sys.stdin.isatty():
            print(" (press Ctrl-C to stop)", flush=True)
            stopped.wait()
        else:
            app.check()
            print(" (it answers; stopping, as this is no terminal)", flush=True)
