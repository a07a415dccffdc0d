"""`merau-lab evaluate`: score a recognizer.

It is scored on synthetic data, or by a protocol on a flow set.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from merau.engine.errors import UserError
from merau.trainers.commands.options import (
    add_bundle,
    add_command,
    add_flows,
    add_macro,
    add_magnify,
    add_sampling,
    magnified,
)
from merau.trainers.commands.output import print_warnings, set_name, write_json, write_text
from merau.trainers.data.synth.seeds import EVALUATION_SAMPLES, EVALUATION_SEED


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    purpose = "score a recognizer on synthetic data, or by a protocol on a flow set"
    parser = add_command(commands, "evaluate", purpose, run)
    about = "write the scores to OUT instead of printing them; with a protocol also a report, OUT.html"
    parser.add_argument("--json", type=Path, metavar="OUT", help=about)
    add_bundle(parser)
    protocol = parser.add_argument_group("by a protocol")
    about = "zero-shot, few-shot, loso (MEGC2019's CDE), lodo, lovo, k-fold or 3-to-2; needs --flows; or spotting"
    protocol.add_argument("--protocol", help=about)
    add_flows(protocol)
    about = "merau, a variant, a baseline, or MODULE:CLASS of your own; any other name lists them (default: merau)"
    protocol.add_argument("--model", default="merau", help=about)
    about = "classes: cde, 4-way, easy, hard, 5-class, or a YAML file (default: %(default)s)"
    protocol.add_argument("--task", default="cde", help=about)
    add_sampling(protocol)
    about = "pick the best epoch on the test data, as some papers do; the report is marked"
    protocol.add_argument("--best-epoch", action="store_true", help=about)
    about = "loss of a network: cross-entropy, focal, center, triplet or contrastive (default: its paper's)"
    protocol.add_argument("--loss", default="own", help=about)
    add_macro(protocol)
    add_magnify(protocol)
    about = "what zero-shot trains a baseline or a network on: synthetic samples (default: nothing)"
    protocol.add_argument("--train", default="shown", metavar="synthetic", help=about)
    about = "report to write (default: OUT.html beside OUT of --json)"
    protocol.add_argument("--report", type=Path, metavar="HTML", help=about)
    spotting = parser.add_argument_group("with --protocol spotting")
    about = "CSV of the true intervals: subject, video, kind, onset and offset (frames), and label where known"
    spotting.add_argument("--truth", type=Path, metavar="CSV", help=about)
    spotting.add_argument("--spotted", type=Path, metavar="CSV", help="the same of what was spotted")
    about = "megc, or strs, me-tst or auw-gcn: what their public scoring codes give (default: %(default)s)"
    spotting.add_argument("--score-as", choices=("megc", "strs", "me-tst", "auw-gcn"), default="megc", help=about)
    synthetic = parser.add_argument_group("on synthetic data, without --protocol")
    about = "synthetic flow fields to draw (default: %(default)s)"
    synthetic.add_argument("--samples", type=int, default=EVALUATION_SAMPLES, help=about)
    about = "portraits to animate and score as well (default: none)"
    synthetic.add_argument("--portraits", type=Path, nargs="+", default=[], metavar="PORTRAIT", help=about)
    about = "image pairs to draw of the portraits (default: %(default)s)"
    synthetic.add_argument("--pairs", type=int, default=1000, help=about)
    about = "folder of synthetic clips with ground truth, to score as well (default: none)"
    synthetic.add_argument("--clips", type=Path, metavar="FOLDER", help=about)
    about = "reliability diagram to write: accuracy by confidence on flows drawn harder than in training"
    synthetic.add_argument("--reliability", type=Path, metavar="SVG", help=about)


def run(options: argparse.Namespace) -> None:
    """Score by the protocol, or on synthetic data where none is given."""
    if options.protocol == "spotting":
        run_spotting(options)
        return
    if (options.protocol is None) != (options.flows is None):
        raise UserError("A protocol needs a flow set and a flow set a protocol: give --protocol and --flows together.")
    if options.protocol is None:
        run_synthetic(options)
    else:
        run_protocol(options)


def run_spotting(options: argparse.Namespace) -> None:
    """Score spotted intervals."""
    from merau.trainers.evaluate.intervals import read_intervals, score_intervals

    if options.truth is None or options.spotted is None:
        raise UserError("--protocol spotting needs two tables: give --truth and --spotted.")
    true, spotted = read_intervals(options.truth), read_intervals(options.spotted)
    write_json(score_intervals(true, spotted, options.score_as), options.json)


def run_protocol(options: argparse.Namespace) -> None:
    """Run one model by one protocol; write scores and report."""
    from merau.engine.recognizer import Recognizer
    from merau.trainers.data import flow_set
    from merau.trainers.evaluate import report
    from merau.trainers.evaluate.run import RunSettings, run

    names = ("protocol", "model", "task", "shots", "draws", "seeds", "best_epoch", "loss", "train")
    settings = RunSettings(**{name: getattr(options, name) for name in names}, macro=tuple(map(str, options.macro)))
    recognizer = Recognizer.load(options.bundle, device="cpu", precision=options.precision)
    data = flow_set.read(*options.flows)
    warnings = print_warnings(data)
    with magnified(data, options) as seen:
        done = run(recognizer, seen, settings, name=set_name(options.flows, options), weights=options.bundle)
    done.document.update(warnings)
    write_json(done.document, options.json)
    page = options.report or (options.json and options.json.with_suffix(".html"))
    if page is None:
        print("No report was written: use --json OUT.json for OUT.html beside it, or --report.", file=sys.stderr)
    else:
        write_text(page, report.page(done))


def run_synthetic(options: argparse.Namespace) -> None:
    """Score the bundle on drawn flow, and on portraits and clips where they are given."""
    from merau.engine.recognizer import Recognizer
    from merau.trainers.data.synth.flow_fields import LIVE_SHARE, FlowSettings, draw
    from merau.trainers.data.synth.image_pairs import apex_images, draw_pairs, measure
    from merau.trainers.evaluate.clips import score_clips
    from merau.trainers.evaluate.synthetic import KEPT_OUT, combinations_of, reliability_diagram, score
    from merau.trainers.export.bundle import check_sees_flow

    recognizer = Recognizer.load(options.bundle, device="cpu", precision=options.precision)
    check_sees_flow(recognizer.bundle)
    bundle, combinations = recognizer.bundle, combinations_of(recognizer.bundle)
    scores: dict[str, Any] = {"bundle": bundle.name, "sha256": bundle.sha256, "precision": options.precision}
    for name, settings in (
        ("training_settings", FlowSettings(no_expression=LIVE_SHARE)),
        ("kept_out_settings", KEPT_OUT),
    ):
        imitated = replace(settings, flow=recognizer.flow_method, combinations=combinations)
        data = draw(EVALUATION_SEED, options.samples, imitated)
        scores[name] = score(recognizer, data)
    if options.reliability:
        write_text(options.reliability, reliability_diagram(recognizer, data))  # of the last set, the harder one
    if options.portraits:
        drawn = draw_pairs(options.portraits, options.pairs, EVALUATION_SEED, combinations)
        measured = measure(drawn, method=recognizer.flow_method)
        scores["portraits"] = score(recognizer, measured)
        if recognizer.apex_px:
            scores["portraits_with_apex"] = score(recognizer, measured, apex_images(drawn.apex))
    if options.clips:
        scores["clips"] = score_clips(recognizer, options.clips)
    write_json(scores, options.json)
