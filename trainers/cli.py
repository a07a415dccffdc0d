"""merau-lab: make synthetic data, train and measure recognizers."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.errors import UserError

SCORED_SEED = 2_000_003  # of evaluation samples; training uses small seeds
SCORED_SAMPLES = 6000


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when done, 1 after a sentence on stderr, 130 on Ctrl-C."""
    top = parser()
    options, rest = top.parse_known_args(arguments)
    options.rest = rest
    if options.rest and options.run is not run_clips:  # which has a parser of its own
        top.error(f"unrecognized arguments: {' '.join(options.rest)}")
    try:
        options.run(options)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="merau-lab", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    synth = commands.add_parser("synth", help="make synthetic data").add_subparsers(required=True, metavar="WHAT")
    for name, purpose in (
        ("clips", "a portrait animated into videos with truth"),
        ("demo", "the clip that `merau demo` plays"),
        ("sheet", "a picture of every Action Unit at three intensities"),
    ):
        clips = synth.add_parser(name, help=purpose, add_help=False)
        clips.set_defaults(run=run_clips, what=name)
    flows = synth.add_parser("flows", help="flow fields of random faces, as the recognizer is trained on")
    flows.add_argument("--out", type=Path, required=True, help=".npz with flow, label, aus, peak_px")
    flows.add_argument("--samples", type=int, default=1000)
    flows.add_argument("--seed", type=int, default=0)
    flows.set_defaults(run=run_flows)
    pairs = synth.add_parser("pairs", help="onset and apex pictures of animated portraits")
    pairs.add_argument("portraits", type=Path, nargs="+", metavar="PORTRAIT")
    pairs.add_argument("--out", type=Path, required=True, help=".npz with onset, apex, label, aus, peak_px, face")
    pairs.add_argument("--samples", type=int, default=200)
    pairs.add_argument("--seed", type=int, default=0)
    pairs.set_defaults(run=run_pairs)

    train = commands.add_parser("train", help="train a recognizer on synthetic data and write its bundle")
    train.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    train.add_argument("--samples", type=int, default=120_000, help="synthetic flows (default: %(default)s)")
    train.add_argument("--epochs", type=int, default=6, help="default: %(default)s")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--portraits", type=Path, nargs="+", default=[], help="train the apex branch, on these faces")
    train.add_argument("--pairs", type=int, default=2000, help="picture pairs of them (default: %(default)s)")
    train.set_defaults(run=run_train)

    evaluate = commands.add_parser("evaluate", help="score a bundle on synthetic data that training did not see")
    evaluate.add_argument("--bundle", type=Path, help="default: the shipped bundle")
    evaluate.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    evaluate.add_argument("--samples", type=int, default=SCORED_SAMPLES, help="synthetic flows (default: %(default)s)")
    evaluate.add_argument("--portraits", type=Path, nargs="+", default=[], help="animate these faces as well")
    evaluate.add_argument("--pairs", type=int, default=1000, help="picture pairs of them (default: %(default)s)")
    evaluate.add_argument("--clips", type=Path, help="folder of synthetic clips with truth, scored as well")
    evaluate.add_argument("--json", type=Path, metavar="OUT", help="write the scores there instead of printing them")
    evaluate.set_defaults(run=run_evaluate)
    return top


def run_clips(options: argparse.Namespace) -> None:
    from trainers.data.synth import clips

    clips.main([options.what, *options.rest])


def run_flows(options: argparse.Namespace) -> None:
    import numpy as np

    from trainers.data.synth.flows import FlowSettings, draw

    np.savez_compressed(options.out, **vars(draw(options.seed, options.samples, FlowSettings())))


def run_pairs(options: argparse.Namespace) -> None:
    import numpy as np

    from trainers.data.synth.pairs import draw_pairs

    np.savez_compressed(options.out, **vars(draw_pairs(options.portraits, options.samples, options.seed)))


def run_train(options: argparse.Namespace) -> None:
    import torch

    from engine import bundle
    from engine.recognizer import Recognizer
    from trainers.data.synth.flows import HARDER, FlowSettings, draw
    from trainers.data.synth.pairs import draw_pairs, measure, pictures
    from trainers.evaluate.synthetic import KEPT_OUT, score
    from trainers.export import export
    from trainers.learn.apex import ApexSettings, pretrain
    from trainers.learn.fusion import FusionSettings, add_apex, train

    settings = FusionSettings(samples=options.samples, epochs=options.epochs, seed=options.seed)
    model = train(draw(settings.seed, settings.samples, FlowSettings()), settings)
    if options.portraits:
        drawn = draw_pairs(options.portraits, options.pairs, settings.seed)
        onset, apex = (torch.from_numpy(pictures(crops)) for crops in (drawn.onset, drawn.apex))
        module = pretrain(onset, apex, torch.from_numpy(drawn.aus), ApexSettings(seed=settings.seed))
        model = add_apex(model, module, measure(drawn), apex, settings)
    export(
        model,
        options.out,
        name="merau-synthetic",
        kept_back=draw(settings.seed + 1_000_003, 8000, HARDER),
        trained_on={"flows": asdict(settings), "portraits": [path.name for path in options.portraits]},
    )
    recognizer = Recognizer.load(options.out)
    scores = {"kept_out_settings": score(recognizer, draw(SCORED_SEED, SCORED_SAMPLES, KEPT_OUT))}
    bundle.save(options.out, recognizer.bundle.card | {"scores": scores})


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


if __name__ == "__main__":
    sys.exit(main())
