"""Options that several commands share, and what they stand for."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from merau.engine.bundle import resolve

if TYPE_CHECKING:
    from merau.engine.recognizer import Recognizer
    from merau.stream.pipeline import PipelineSettings
    from merau.stream.study.participants import Assignment

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

STORE = Path("merau.db")  # of all commands, in the folder where they run
EXCEL = "write CSV that Excel opens: marked as UTF-8, with the decimal mark of your locale"
PASSWORD_VARIABLE = "MERAU_CAMERA_PASSWORD"


def add_command(
    commands: Commands,
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
    aliases: tuple[str, ...] = (),
) -> argparse.ArgumentParser:
    """Add a command with the option --json; its `run` returns the exit code."""
    description = f"{summary[0].upper()}{summary[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, aliases=aliases, help=summary, description=description)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else on standard output")
    parser.set_defaults(run=run)
    return parser


def add_store_argument(parser: argparse.ArgumentParser) -> None:
    """Add the store that a command reads."""
    parser.add_argument(
        "store",
        metavar="DB",
        nargs="?",
        type=Path,
        default=STORE,
        help="SQLite file with the events (default: %(default)s)",
    )


def add_store_option(parser: argparse.ArgumentParser) -> None:
    """Add --store, the store that a command writes."""
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DB",
        default=STORE,
        help="SQLite file that the events are saved to (default: %(default)s)",
    )


def add_participant_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `assignment` reads."""
    known = parser.add_mutually_exclusive_group()
    known.add_argument(
        "--participants",
        type=Path,
        metavar="CSV",
        help="table with the columns recording and participant, perhaps face, and any conditions",
    )
    known.add_argument(
        "--pattern",
        metavar="PATTERN",
        help="how the ends of the paths tell participants and conditions, such as {participant}/{condition}",
    )


def assignment(arguments: argparse.Namespace) -> "Assignment":
    """Return whom the recordings show, as far as the options tell."""
    from merau.stream.study.participants import Assignment, from_pattern, read_participants

    if arguments.participants:
        return read_participants(arguments.participants)
    return from_pattern(arguments.pattern) if arguments.pattern else Assignment()


def tier_kind(text: str) -> tuple[str, str | None]:
    """Return an ELAN tier and the kind of its events, of NAME=KIND; None tells micro from macro by duration."""
    from merau.stream.events import KINDS

    name, equals, kind = text.rpartition("=")
    if not equals:
        return text, None
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f"'{kind}' is no kind: choose one of {', '.join(KINDS)}")
    return name, kind


def add_bundle_option(parser: argparse.ArgumentParser, default: str = "default") -> None:
    """Add --bundle, which means the same in every command; `default` says which one is used without it."""
    parser.add_argument(
        "--bundle",
        type=resolve,
        metavar="BUNDLE",
        help=f"recognizer bundle: default, source, or the path of a folder or zip (default: {default})",
    )


def add_recognizer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `load_recognizer` and `pipeline_settings` read."""
    parser.add_argument(
        "--faces",
        default="short",
        metavar="DETECTOR",
        help="face detector: short (near faces), wide (small or many faces), insightface, or yunet:PATH "
        "(default: %(default)s)",
    )
    add_bundle_option(parser, "that of --head; else default")
    parser.add_argument("--head", type=Path, metavar="FILE", help="few-shot head that `merau adapt` wrote")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where the recognizer runs; auto takes the GPU if there is one (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=("int8", "fp32", "fp16", "fp8"),
        default="int8",
        help="precision of the trunk; fp16 and fp8 need a GPU (default: %(default)s)",
    )


def add_pictures_option(parser: argparse.ArgumentParser) -> None:
    """Add --keep-pictures."""
    parser.add_argument("--keep-pictures", action="store_true", help="also save the images of every event")


def add_rate_options(parser: argparse.ArgumentParser) -> None:
    """Add --rate and --captured-rate."""
    parser.add_argument(
        "--rate",
        type=_rate,
        metavar="HZ",
        help="true frame rate of raw video (.h264, .hevc, .mjpeg), which has no times (default: as its codec states)",
    )
    parser.add_argument(
        "--captured-rate",
        type=_rate,
        metavar="HZ",
        help="frames per second before the camera, for slow motion and high-speed recordings that play slower "
        "(default: as the file's tags state)",
    )


def _rate(text: str) -> float:
    """Return a frame rate within the limits of `SourceSettings`."""
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = math.nan
    if not 0.01 <= rate_hz <= 100_000:
        raise argparse.ArgumentTypeError(f"'{text}' is no frame rate: choose 0.01 to 100000")
    return rate_hz


def add_source_file_option(parser: "argparse.ArgumentParser | argparse._MutuallyExclusiveGroup") -> None:
    """Add --source-file."""
    parser.add_argument(
        "--source-file",
        type=Path,
        metavar="FILE",
        help="text file with sources, one on each line: a camera's password in it is not in the process list "
        "(default: none)",
    )


def complete_source(source: str) -> str:
    """Return a source with its password: that of the environment, or what is typed on a terminal.

    An address with a user and a password, or without a user, stays as it is.
    """
    from merau.stream.sources.address import lacks_password, redact, with_password

    if not lacks_password(source):
        return source
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None and sys.stdin is not None and sys.stdin.isatty():
        password = getpass(f"Password of {redact(source)}: ")
    return source if password is None else with_password(source, password)


def read_sources(arguments: argparse.Namespace, given: Sequence[str]) -> list[str]:
    """Return the sources that were given, then those of --source-file, with their passwords."""
    from merau.stream.sources.address import read_addresses

    listed = read_addresses(arguments.source_file) if arguments.source_file else []
    return [complete_source(source) for source in (*given, *listed)]


def add_decode_option(parser: argparse.ArgumentParser) -> None:
    """Add --decode."""
    parser.add_argument(
        "--decode",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where video of files and RTSP cameras is decoded (default: %(default)s)",
    )


def pipeline_settings(arguments: argparse.Namespace) -> "PipelineSettings":
    """Return the settings that the options ask for."""
    from merau.stream.faces import FaceSettings
    from merau.stream.pipeline import PipelineSettings

    return PipelineSettings(faces=FaceSettings(detector=arguments.faces))


def load_recognizer(arguments: argparse.Namespace, bundle: Path | None = None) -> "Recognizer":
    """Load the recognizer that the options ask for; a `bundle` replaces that of the options, and their head."""
    from merau.engine.recognizer import Recognizer

    return Recognizer.load(
        bundle or arguments.bundle,
        head=None if bundle else arguments.head,
        device=arguments.device,
        precision=arguments.precision,
    )


def warm_up(recognizer: "Recognizer") -> "Recognizer":
    """Run the recognizer once, which compiles its code, and print on standard error where it runs."""
    from merau.stream.spotter.flow_backend import FlowBackend, describe_runtime

    prepare(recognizer)
    print(describe_runtime(recognizer, FlowBackend(recognizer, recognizer.spec)), file=sys.stderr)
    return recognizer


def prepare(recognizer: "Recognizer") -> "Recognizer":
    """Run the recognizer once, which compiles its code."""
    import cv2
    import numpy as np

    from merau.engine.face_mesh import FaceNets

    FaceNets()  # the first one silences standard error for a moment: not while cameras log
    cv2.setNumThreads(1)  # more threads gain nothing on small crops, and take cores from decoding
    blank = np.zeros(recognizer.spec.full, np.uint8)
    recognizer.predict(blank, blank)
    return recognizer
