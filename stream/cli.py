"""merau: recognize micro-expressions live and in recordings.

exit codes: 0 done (for watch: ended, also by Ctrl-C or SIGTERM), 1 something is wrong that you can mend, told in one
sentence on stderr, 2 the command line is not understood, 130 interrupted by Ctrl-C, 143 by SIGTERM.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merau.engine.errors import UserError
from merau.stream.formatting import pluralize

if TYPE_CHECKING:
    from merau.engine.recognizer import Recognizer
    from merau.stream.pipeline import PipelineSettings

Run = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"merau: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our output has had enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("\nmerau: interrupted; what was stored before stays.", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    about, exit_codes = __doc__.split("\n\n", 1)
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="merau", description=about, epilog=exit_codes, formatter_class=raw)
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    watch = _command(commands, "watch", _watch, "watch a webcam, an RTSP camera or a recording, one line per event")
    watch.add_argument("source", metavar="SOURCE", help="0 or /dev/video0, rtsp://USER:PASSWORD@HOST/PATH, or a file")
    watch.add_argument("--store", type=Path, default=Path("merau.db"), help="SQLite file for the events (%(default)s)")
    watch.add_argument("--transport", choices=("tcp", "udp"), default="tcp", help="of RTSP (%(default)s)")
    watch.add_argument("--decode", choices=("cpu", "cuda"), default="cpu", help="of files and RTSP (%(default)s)")
    watch.add_argument("--give-up-after", type=float, metavar="SECONDS", help="of a lost camera (never)")
    _add_recognizing(watch)
    _add_pictures(watch)

    analyse = _command(commands, "analyse", _analyse, "analyse recordings: events, exports and one HTML report each")
    analyse.add_argument("files", metavar="FILE", nargs="+")
    analyse.add_argument("--out", type=Path, help="folder for the results (merau-out; with --json none)")
    analyse.add_argument("--store", type=Path, help="SQLite file for the events (merau.db in the folder)")
    _add_recognizing(analyse)
    _add_pictures(analyse)

    demo = _command(commands, "demo", _demo, "play a clip whose truth is known and compare; needs no camera")
    demo.add_argument("--out", type=Path, default=Path("merau-demo"), help="folder for the report (%(default)s)")
    demo.add_argument("--no-ui", action="store_true", help="end after the terminal's part, without the live page")

    export = _command(commands, "export", _export, "write stored events in another format")
    export.add_argument("store", metavar="DB", type=Path)
    export.add_argument("--format", choices=("csv", "jsonl", "eaf", "vtt", "parquet"), default="csv")
    export.add_argument("--session", type=int, metavar="N", help="one session only (all)")
    export.add_argument("--out", type=Path, metavar="FILE", help="file to write (standard output)")

    adapt = _command(commands, "adapt", _adapt, "teach classes from a few labelled samples")
    about_samples = "a store with labelled events, or a CSV: label,file,onset_s,apex_s or label,onset,apex (pictures)"
    adapt.add_argument("samples", metavar="SAMPLES", nargs="+", type=Path, help=about_samples)
    adapt.add_argument("--out", type=Path, required=True, metavar="FILE", help="head to write")
    adapt.add_argument("--head", type=Path, metavar="FILE", help="head that is refined: its samples stay")
    kinds = ("auto", "linear", "cosine", "prototypes")
    adapt.add_argument("--kind", choices=kinds, default="auto", help="of head; auto chooses by samples left out")
    adapt.add_argument("--bundle", type=Path, help="recognizer, a folder or zip (the one that ships with merau)")

    ui = _command(commands, "ui", _ui, "serve the live page: watch, review and teach in a browser")
    ui.add_argument("sources", metavar="SOURCE", nargs="*", help="cameras and recordings to begin with, as for watch")
    ui.add_argument("--host", default="127.0.0.1", help="address to serve at (%(default)s: this machine only)")
    ui.add_argument("--port", type=int, default=7860, help="0 for any that is free (%(default)s)")
    ui.add_argument("--auth", metavar="USER:FILE", help="login; the first line of the file is the password")
    ui.add_argument("--share", action="store_true", help="make a public link; cameras of this machine need --auth then")
    ui.add_argument("--store", type=Path, default=Path("merau-ui.db"), help="SQLite file for the events (%(default)s)")
    ui.add_argument("--retention", type=float, default=24.0, metavar="HOURS", help="until they go (%(default)g)")
    ui.add_argument("--decode", choices=("cpu", "cuda"), default="cpu", help="of files and RTSP (%(default)s)")
    ui.add_argument("--recordings", type=Path, metavar="FOLDER", help="whose videos may be picked for analysis (none)")
    ui.add_argument("--visitors", type=int, default=2, metavar="N", help="webcams analysed at one time (%(default)s)")
    ui.add_argument("--purpose", help="of the cameras named here, to whose analysis all in view agreed (the page asks)")
    _add_recognizing(ui)

    doctor = _command(commands, "doctor", _doctor, "what this machine has: cameras, codecs, runtimes, GPU, the bundle")
    doctor.add_argument("--bundle", type=Path, help="bundle to look at (the one that ships with merau)")
    about_store = "also how far its sessions lie from what the bundle was trained on"
    doctor.add_argument("--store", type=Path, metavar="DB", help=about_store)

    bench = _command(commands, "bench", _bench, "time every stage on this machine")
    _add_recognizing(bench)
    return top


def _command(commands: Any, name: str, run: Run, about: str) -> argparse.ArgumentParser:
    sentence = f"{about[0].upper()}{about[1:]}."
    command: argparse.ArgumentParser = commands.add_parser(name, help=about, description=sentence)
    command.add_argument("--json", action="store_true", help="print JSON and nothing else on standard output")
    command.set_defaults(run=run)
    return command


def _add_recognizing(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--faces",
        default="short",
        metavar="NET",
        help="face detector: short (near), wide (small or many), insightface, yunet:PATH (%(default)s)",
    )
    command.add_argument("--bundle", type=Path, help="recognizer, a folder or zip (the one that ships with merau)")
    command.add_argument("--head", type=Path, metavar="FILE", help="classes that `merau adapt` taught this recognizer")
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    precisions = ("int8", "fp32", "fp16", "fp8")
    command.add_argument("--precision", choices=precisions, default="int8", help="fp16, fp8: on a GPU (%(default)s)")


def _add_pictures(command: argparse.ArgumentParser) -> None:
    command.add_argument("--keep-pictures", action="store_true", help="store the pictures of every event, too")


def _recognizing(arguments: argparse.Namespace) -> "tuple[Recognizer, PipelineSettings]":
    from merau.stream.faces import FaceSettings
    from merau.stream.pipeline import PipelineSettings

    settings = PipelineSettings(faces=FaceSettings(detector=arguments.faces))
    return _warm(_load(arguments)), settings


def _load(arguments: argparse.Namespace, bundle: Path | None = None) -> "Recognizer":
    """What the options ask for; `bundle`, as its classes are, instead of the one and the head that they name."""
    from merau.engine.recognizer import Recognizer

    return Recognizer.load(
        bundle or arguments.bundle,
        head=None if bundle else arguments.head,
        device=arguments.device,
        precision=arguments.precision,
    )


def _warm(recognizer: "Recognizer") -> "Recognizer":
    """`recognizer` after its first run: numba compiles then, better now than while a camera sends frames.

    Says on stderr what runs where.
    """
    import cv2
    import numpy as np

    from merau.stream.spotter.flow_backend import FlowBackend, describe_runtime

    cv2.setNumThreads(1)  # its threads win nothing on crops this small, and the other core decodes
    blank = np.zeros(recognizer.spec.full, np.uint8)
    recognizer.predict(blank, blank)
    print(f"Recognizer: {describe_runtime(recognizer, FlowBackend(recognizer, recognizer.spec))}.", file=sys.stderr)
    return recognizer


def _watch(arguments: argparse.Namespace) -> int:
    from merau.stream.commands.watch import stop_on_signals, watch
    from merau.stream.pipeline import Pipeline
    from merau.stream.sources import SourceSettings, open_source
    from merau.stream.store import Store

    limits = SourceSettings(
        paced=True,
        transport=arguments.transport,
        give_up_after_s=arguments.give_up_after,
        decode=arguments.decode,
    )
    source = open_source(arguments.source, limits)
    recognizer, settings = _recognizing(arguments)
    pipeline = Pipeline(source.name, recognizer, settings, keep_pictures=arguments.keep_pictures)
    stop_on_signals(source)
    with Store(arguments.store, keep_pictures=arguments.keep_pictures) as store, source:
        watch(source, pipeline, store, as_json=arguments.json)
    return 0


def _analyse(arguments: argparse.Namespace) -> int:
    from merau.stream.commands.analyse import Results, analyse, told
    from merau.stream.sources import File, SourceSettings

    recognizer, settings = _recognizing(arguments)
    folder = arguments.out or (None if arguments.json else Path("merau-out"))
    store = arguments.store or (folder / "merau.db" if folder else None)
    pictures = folder is not None or arguments.keep_pictures
    failed = 0
    with Results(folder, store, keep_pictures=arguments.keep_pictures) as results:
        for path in arguments.files:
            try:
                with File(path, SourceSettings()) as source:
                    analysis = analyse(source, recognizer, settings, store=results.store, pictures=pictures)
                written = results.write(analysis, recognizer.bundle)
            except UserError as error:
                failed += 1
                print(f"merau: {error}", file=sys.stderr)
            else:
                print(json.dumps(analysis.document) if arguments.json else told(analysis, written), flush=True)
    return 1 if failed else 0


def _demo(arguments: argparse.Namespace) -> int:
    from merau.engine.recognizer import Recognizer
    from merau.stream.commands import demo
    from merau.stream.commands.analyse import Results, analyse
    from merau.stream.pipeline import PipelineSettings
    from merau.stream.sources import File, SourceSettings

    recognizer, truth = _warm(Recognizer.load()), demo.truth()
    with (
        Results(arguments.out, arguments.out / "merau.db") as results,
        File(str(demo.CLIP), SourceSettings(paced=True)) as source,
    ):
        said = demo.mute if arguments.json else demo.say
        analysis = analyse(source, recognizer, PipelineSettings(), store=results.store, said=said)
        *_, report = results.write(analysis, recognizer.bundle, truth=truth)
    pairs = demo.pairs(truth, analysis.summary.events)
    if arguments.json:
        print(json.dumps(analysis.document | {"truth": [pair.fields() for pair in pairs if pair.span]}))
    else:
        print(f"\n{demo.table(pairs)}\n\nThe report: {report}", flush=True)
        if not arguments.no_ui:
            _demo_page(arguments.out / "page.db")
    return 0


def _demo_page(store: Path) -> None:
    """The live page on the demo's clip: until Ctrl-C at a terminal, else just long enough to see that it answers."""
    from merau.engine.recognizer import Recognizer
    from merau.stream.commands import demo
    from merau.stream.ui.config import UiSettings
    from merau.stream.ui.server import App, until_stopped

    app = App([str(demo.CLIP)], Recognizer.load, UiSettings(port=0), store=store)
    with until_stopped(app) as stopped:
        print(f"The live page: {app.address}", end="", flush=True)
        if sys.stdin.isatty():
            print(" (Ctrl-C ends it)", flush=True)
            stopped.wait()
        else:
            app.check()
            print(" (it answers, and ends here: no terminal)", flush=True)


def _ui(arguments: argparse.Namespace) -> int:
    from merau.stream.ui.config import Login, UiSettings

    settings = UiSettings(
        host=arguments.host,
        port=arguments.port,
        login=Login.read(arguments.auth) if arguments.auth else None,
        share=arguments.share,
        visitors=arguments.visitors,
        retention_h=arguments.retention,
        recordings=arguments.recordings,
        decode=arguments.decode,
        purpose=arguments.purpose,
    )
    _, pipeline = _recognizing(arguments)
    from merau.stream.ui.server import App, until_stopped

    app = App(arguments.sources, partial(_load, arguments), settings, store=arguments.store, pipeline=pipeline)
    with until_stopped(app) as stopped:
        places = app.address + (f", for everybody at {app.public}," if app.public else "")
        told = {"address": app.address, "public": app.public}
        print(json.dumps(told) if arguments.json else f"The page is at {places} and ends with Ctrl-C.", flush=True)
        stopped.wait()
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from merau.stream.events import event_fields
    from merau.stream.export import FORMATS, SINGLE_RECORDING, atomic_write
    from merau.stream.store import read_events, read_sessions

    sessions = [s for s in read_sessions(arguments.store) if arguments.session in (None, s.id)]
    if not sessions:
        wanted = "no session" if arguments.session is None else f"no session {arguments.session}"
        raise UserError(f"There is {wanted} in {arguments.store}.")
    if arguments.json and not arguments.out:
        events = {s.id: [event_fields(event) for event in read_events(arguments.store, s.id)] for s in sessions}
        print(json.dumps({"sessions": [asdict(s) | {"events": events[s.id]} for s in sessions]}))
        return 0
    if arguments.format in SINGLE_RECORDING and len(sessions) > 1:
        listed = ", ".join(f"{s.id} ({s.source}, {s.started[:16]})" for s in sessions)
        raise UserError(
            f"A file of format {arguments.format} holds one session: choose with --session one of {listed}."
        )
    found = list(read_events(arguments.store, arguments.session))
    if not arguments.out:
        FORMATS[arguments.format](found, sys.stdout.buffer)
        return 0
    with atomic_write(arguments.out) as file:
        FORMATS[arguments.format](found, file)
    said = {"written": str(arguments.out), "events": len(found)}
    print(json.dumps(said) if arguments.json else f"{pluralize(len(found), 'event')} written to {arguments.out}.")
    return 0


def _adapt(arguments: argparse.Namespace) -> int:
    from merau.engine.few_shot import fit_few_shot
    from merau.engine.recognizer import Recognizer
    from merau.stream.commands.adapt import judge_of, once, read_samples

    bundle = arguments.bundle or (None if arguments.head else judge_of(arguments.samples))
    recognizer = _warm(Recognizer.load(bundle, head=arguments.head))
    given = list(recognizer.few_shot_head.samples) if recognizer.few_shot_head else []
    for path in arguments.samples:
        given += read_samples(path, recognizer)
    samples = once(given)
    if again := len(given) - len(samples):
        print(f"{again} of {len(given)} samples were given before: each counts once.", file=sys.stderr)
    lesson = fit_few_shot(samples, recognizer.bundle, kind=arguments.kind)
    lesson.save(arguments.out)
    said = {
        "written": str(arguments.out),
        "kind": lesson.kind,
        "classes": list(lesson.classes),
        "samples": len(lesson.samples),
        "estimate": lesson.estimate,
        "explanation": str(lesson.explanation),
    }
    print(json.dumps(said) if arguments.json else f"{lesson.explanation}\nWritten to {arguments.out}.")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from merau.stream.commands import doctor

    findings = doctor.examine(arguments.bundle, arguments.store)
    print(json.dumps(findings) if arguments.json else doctor.told(findings))
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    from merau.stream.commands import bench

    result = bench.bench(*_recognizing(arguments))
    print(json.dumps(result) if arguments.json else bench.told(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
