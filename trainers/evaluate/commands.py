"""The commands of merau-lab that measure: predict and evaluate."""

import argparse
import json
from pathlib import Path
from typing import Any

SCORED_SEED = 2_000_003  # of evaluation samples; training uses small seeds
SCORED_SAMPLES = 6000


def add_commands(commands: Any) -> None:
    """Add the parsers to argparse's subparsers `commands`."""
    predict = commands.add_parser("predict", help="what a bundle says of every sample of a flow set, as CSV")
    predict.add_argument("--flows", type=Path, required=True, metavar="INDEX", help="index of a flow set (CSV)")
    predict.add_argument("--bundle", type=Path, help="default: the shipped bundle")
    predict.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    predict.add_argument("--out", type=Path, required=True, help="CSV to write")
    predict.set_defaults(run=run_predict)

    evaluate = commands.add_parser("evaluate", help="score a bundle on synthetic data that training did not see")
    evaluate.add_argument("--bundle", type=Path, help="default: the shipped bundle")
    evaluate.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    evaluate.add_argument("--samples", type=int, default=SCORED_SAMPLES, help="synthetic flows (default: %(default)s)")
    evaluate.add_argument("--portraits", type=Path, nargs="+", default=[], help="animate these faces as well")
    evaluate.add_argument("--pairs", type=int, default=1000, help="picture pairs of them (default: %(default)s)")
    evaluate.add_argument("--clips", type=Path, help="folder of synthetic clips with truth, scored as well")
    evaluate.add_argument("--json", type=Path, metavar="OUT", help="write the scores there instead of printing them")
    evaluate.set_defaults(run=run_evaluate)


def run_predict(options: argparse.Namespace) -> None:
    from engine.recognizer import Recognizer
    from trainers.data import flow_set
    from trainers.evaluate import answers

    recognizer = Recognizer.load(options.bundle, precision=options.precision)
    data = flow_set.read(options.flows)
    answers.write(options.out, data, answers.answer(recognizer, data))


def run_evaluate(options: argparse.Namespace) -> None:
    from engine.recognizer import Recognizer
    from trainers.data.synth.flows import LIVE_SHARE, FlowSettings, draw
    from trainers.data.synth.pairs import draw_pairs, measure, pictures
    from trainers.evaluate.clips import score_clips
    from trainers.evaluate.synthetic import KEPT_OUT, score

    recognizer = Recognizer.load(options.bundle, precision=options.precision)
    bundle = recognizer.bundle
    scores: dict[str, Any] = {"bundle": bundle.name, "sha256": bundle.sha256, "precision": options.precision}
    for name, settings in (
        ("training_settings", FlowSettings(no_expression=LIVE_SHARE)),
        ("kept_out_settings", KEPT_OUT),
    ):
        scores[name] = score(recognizer, draw(SCORED_SEED, options.samples, settings))
    if options.portraits:
        drawn = draw_pairs(options.portraits, options.pairs, SCORED_SEED)
        measured = measure(drawn, method=recognizer.flow_method)
        scores["portraits"] = score(recognizer, measured)
        if recognizer.sees_apex:
            scores["portraits_with_apex"] = score(recognizer, measured, pictures(drawn.apex))
    if options.clips:
        scores["clips"] = score_clips(recognizer, options.clips)
    text = json.dumps(scores, indent=2)
    print(text) if options.json is None else options.json.write_text(text + "\n", encoding="utf-8")
