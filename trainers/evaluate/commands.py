"""The commands of merau-lab that measure: predict, evaluate and leaderboard."""

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from merau.engine.errors import UserError

if TYPE_CHECKING:
    from merau.trainers.data.flow_set import FlowSet
    from merau.trainers.evaluate.leaderboard import Cell

SCORED_SEED = 2_000_003  # of evaluation samples; training uses small seeds
SCORED_SAMPLES = 6000
SYNTHETIC_CLIPS = 300
INDICES = "index of a flow set (CSV), or several that count as one"


def add_commands(commands: Any) -> None:
    """Add the parsers to argparse's subparsers `commands`."""
    predict = commands.add_parser("predict", help="what a bundle says of every sample of a flow set, as CSV")
    predict.add_argument("--flows", type=Path, nargs="+", required=True, metavar="INDEX", help=INDICES)
    predict.add_argument("--bundle", type=Path, help="default: the shipped bundle")
    predict.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    predict.add_argument("--out", type=Path, required=True, help="CSV to write")
    predict.set_defaults(run=run_predict)

    evaluate = commands.add_parser("evaluate", help="score on synthetic data, or by a protocol on a flow set")
    evaluate.add_argument("--protocol", help="zero-shot, few-shot, loso (CDE), lodo, lovo or k-fold; needs --flows")
    evaluate.add_argument("--flows", type=Path, nargs="+", metavar="INDEX", help=INDICES)
    evaluate.add_argument("--model", default="merau", help="merau or a baseline (default: %(default)s)")
    evaluate.add_argument("--task", default="cde", help="cde, 4-way, easy, hard or 5-class (default: %(default)s)")
    evaluate.add_argument("--shots", type=int, default=5, help="samples a class (default: %(default)s)")
    evaluate.add_argument("--draws", type=int, default=100, help="of the shots (default: %(default)s)")
    evaluate.add_argument("--seeds", type=int, default=1, help="passes of the other protocols (default: %(default)s)")
    evaluate.add_argument("--best-epoch", action="store_true", help="imitate selection on the test data, stamped so")
    evaluate.add_argument("--report", type=Path, metavar="HTML", help="default: OUT.html beside OUT.json")
    evaluate.add_argument("--bundle", type=Path, help="default: the shipped bundle")
    evaluate.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    evaluate.add_argument("--samples", type=int, default=SCORED_SAMPLES, help="synthetic flows (default: %(default)s)")
    evaluate.add_argument("--portraits", type=Path, nargs="+", default=[], help="animate these faces as well")
    evaluate.add_argument("--pairs", type=int, default=1000, help="picture pairs of them (default: %(default)s)")
    evaluate.add_argument("--clips", type=Path, help="folder of synthetic clips with truth, scored as well")
    about_reliability = "picture of accuracy by confidence, on flows drawn with other settings than in training"
    evaluate.add_argument("--reliability", type=Path, metavar="SVG", help=about_reliability)
    about_json = "write the scores there, do not print them; the report of a protocol goes beside"
    evaluate.add_argument("--json", type=Path, metavar="OUT", help=about_json)
    evaluate.set_defaults(run=choose_evaluation)

    board = commands.add_parser("leaderboard", help="a table of all models by all protocols on a flow set")
    about_flows = f"{INDICES}; default: a synthetic set, drawn anew (minutes)"
    board.add_argument("--flows", type=Path, nargs="+", metavar="INDEX", help=about_flows)
    board.add_argument("--bundle", type=Path, nargs="+", default=[], help="default: the shipped bundle")
    board.add_argument("--models", nargs="+", help="default: all")
    board.add_argument("--protocols", nargs="+", help="default: zero-shot few-shot lodo loso")
    board.add_argument("--tasks", nargs="+", default=["cde"], help="cde, 4-way, easy, hard, 5-class (default: cde)")
    board.add_argument("--shots", type=int, default=5, help="samples a class (default: %(default)s)")
    board.add_argument("--draws", type=int, default=100, help="of the shots (default: %(default)s)")
    board.add_argument("--seeds", type=int, default=1, help="passes of the other protocols (default: %(default)s)")
    about_json = "every run's document, as soon as it has run; what OUT holds of the same set is not run again"
    board.add_argument("--json", type=Path, metavar="OUT", help=about_json)
    board.add_argument("--report", type=Path, metavar="HTML", help="the table as a page")
    board.set_defaults(run=run_leaderboard)


def run_predict(options: argparse.Namespace) -> None:
    from merau.engine.recognizer import Recognizer
    from merau.trainers.data import flow_set
    from merau.trainers.evaluate import predict as predictions

    recognizer = Recognizer.load(options.bundle, device="cpu", precision=options.precision)
    data = flow_set.read(*options.flows)
    warn(data)
    predictions.write(options.out, data, predictions.predict(recognizer, data, flow_set.read_flows(data)))


def choose_evaluation(options: argparse.Namespace) -> None:
    if options.protocol is None and options.flows is None:
        run_evaluate(options)
    elif options.protocol is None or options.flows is None:
        raise UserError("A protocol needs a flow set and a flow set a protocol: give --protocol and --flows together.")
    else:
        run_protocol(options)


def run_protocol(options: argparse.Namespace) -> None:
    from merau.engine.recognizer import Recognizer
    from merau.trainers.data import flow_set
    from merau.trainers.evaluate import report
    from merau.trainers.evaluate.run import RunSettings, run
    from merau.trainers.export.bundle import DEFAULT

    names = ("protocol", "model", "task", "shots", "draws", "seeds", "best_epoch")
    settings = RunSettings(**{name: getattr(options, name) for name in names})
    recognizer = Recognizer.load(options.bundle, device="cpu", precision=options.precision)
    weights = options.bundle or DEFAULT
    data = flow_set.read(*options.flows)
    warnings = warn(data)
    done = run(recognizer, data, settings, name=named(options.flows), weights=weights)
    done.document.update(warnings)
    write_json(done.document, options.json)
    page = options.report or (options.json and options.json.with_suffix(".html"))
    if page is None:
        print("No report was written: --json OUT.json writes OUT.html beside it, --report one alone.", file=sys.stderr)
    else:
        write_text(page, report.page(done))


def run_leaderboard(options: argparse.Namespace) -> None:
    from merau.engine.recognizer import Recognizer
    from merau.trainers.data import flow_set
    from merau.trainers.data.synthetic_set import draw_set
    from merau.trainers.evaluate import leaderboard
    from merau.trainers.evaluate.run import MODELS
    from merau.trainers.export.bundle import DEFAULT

    wanted = leaderboard.cells(
        [(path, Recognizer.load(path, device="cpu")) for path in options.bundle or [DEFAULT]],
        models=options.models or MODELS,
        protocols=options.protocols or leaderboard.PROTOCOLS,
        **{name: getattr(options, name) for name in ("tasks", "shots", "draws", "seeds")},
    )
    with TemporaryDirectory() as folder:
        if options.flows is None:
            draw_set(Path(folder), SYNTHETIC_CLIPS, SCORED_SEED)
        data = flow_set.read(*(options.flows or [Path(folder) / "index.csv"]))
        documents = run_missing(wanted, data, options.json, named(options.flows or []))
    print(leaderboard.markdown(documents), end="")
    if options.report is not None:
        write_text(options.report, leaderboard.page(documents))


def run_missing(wanted: "list[Cell]", data: "FlowSet", path: Path | None, name: str) -> list[dict[str, Any]]:
    """The document of every cell; those that `path` holds of this set are not run again, each other one is written
    there as soon as it has run.
    """
    from merau.trainers.data import flow_set
    from merau.trainers.evaluate import leaderboard

    digest, warnings = flow_set.digest(data), warn(data)
    stored = leaderboard.read(path, digest) if path else []
    done = {cell: found for cell in wanted if (found := leaderboard.finished(cell, stored))}
    others = [one for one in stored if not any(leaderboard.finished(cell, [one]) for cell in wanted)]
    missing = [cell for cell in wanted if cell not in done]
    try:
        with tqdm(total=len(wanted), initial=len(done), desc="leaderboard", unit="run", disable=None) as bar:
            for cell, document in leaderboard.compare(missing, data, name=name):
                done[cell] = {**document, **warnings, "set_sha256": digest}
                if path:
                    leaderboard.write(path, [*(done[one] for one in wanted if one in done), *others])
                bar.update()
                tqdm.write(f"{len(done)} of {len(wanted)}: {leaderboard.line(document)}", file=sys.stderr)
    except KeyboardInterrupt as stop:
        kept = f"are in {path}, and the same command goes on from there" if path else "are lost: --json OUT keeps them"
        raise KeyboardInterrupt(f"Stopped: {len(done)} of {len(wanted)} runs {kept}.") from stop
    return [done[cell] for cell in wanted]


def named(indices: list[Path]) -> str:
    return ", ".join(map(str, indices))


def warn(data: "FlowSet") -> dict[str, list[str]]:
    """What seems to be wrong with the set's pictures, on stderr, and as the field of a document; empty if nothing."""
    from merau.trainers.data import channels

    warnings = channels.warnings(data)
    for sentence in warnings:
        print(f"Warning: {sentence}", file=sys.stderr)
    return {"warnings": warnings} if warnings else {}


def write_json(document: dict[str, Any], path: Path | None) -> None:
    """To `path`, or printed where there is none."""
    text = json.dumps(document, indent=2) + "\n"
    print(text, end="") if path is None else write_text(path, text)


def write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def run_evaluate(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from merau.engine.recognizer import Recognizer
    from merau.trainers.data.synth.flow_fields import LIVE_SHARE, FlowSettings, draw
    from merau.trainers.data.synth.image_pairs import draw_pairs, measure, pictures
    from merau.trainers.evaluate.clips import score_clips
    from merau.trainers.evaluate.synthetic import KEPT_OUT, kinds_of, picture, score

    recognizer = Recognizer.load(options.bundle, device="cpu", precision=options.precision)
    bundle, kinds = recognizer.bundle, kinds_of(recognizer.bundle)
    scores: dict[str, Any] = {"bundle": bundle.name, "sha256": bundle.sha256, "precision": options.precision}
    for name, settings in (
        ("training_settings", FlowSettings(no_expression=LIVE_SHARE)),
        ("kept_out_settings", KEPT_OUT),
    ):
        imitated = replace(settings, flow=recognizer.flow_method, combinations=kinds)
        data = draw(SCORED_SEED, options.samples, imitated)
        scores[name] = score(recognizer, data)
    if options.reliability:
        write_text(options.reliability, picture(recognizer, data))  # of the last, the harder ones
    if options.portraits:
        drawn = draw_pairs(options.portraits, options.pairs, SCORED_SEED, kinds)
        measured = measure(drawn, method=recognizer.flow_method)
        scores["portraits"] = score(recognizer, measured)
        if recognizer.apex_px:
            scores["portraits_with_apex"] = score(recognizer, measured, pictures(drawn.apex))
    if options.clips:
        scores["clips"] = score_clips(recognizer, options.clips)
    write_json(scores, options.json)
