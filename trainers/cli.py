"""merau-lab: make synthetic data, train, measure, quantise and build recognizers."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from engine.errors import UserError
from trainers import precision
from trainers.evaluate import commands as evaluation
from trainers.evaluate.commands import SCORED_SAMPLES, SCORED_SEED


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

    evaluation.add_commands(commands)
    precision.add_commands(commands)
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


if __name__ == "__main__":
    sys.exit(main())
