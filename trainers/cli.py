"""merau-lab: make synthetic data, train, measure, quantise and build recognizers."""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from merau.engine.errors import UserError
from merau.trainers.data import commands as dataset_commands
from merau.trainers.evaluate import commands as evaluation
from merau.trainers.evaluate.commands import SCORED_SAMPLES, SCORED_SEED
from merau.trainers.export import commands as precision
from merau.trainers.learn import commands as learning

if TYPE_CHECKING:
    from merau.trainers.data.synth.action_units import Combinations
    from merau.trainers.data.synth.flow_fields import Flows
    from merau.trainers.learn.fusion import FlowTraining

KEPT_BACK_SEED = 1_000_003  # beyond the training seed: of what quantisation and calibration are fit to
ANIMATED = 0.06  # pairs of the animated astronaut for each drawn flow
ANIMATED_SHARE = 0.25  # of what is trained on: they are repeated
SETS = 0.4  # drawn flows of sets whose faces lie anyhow, as many for each
FLOWS = ("dis", "farneback")
TABLES = {"coarse": "COMBINATIONS", "source": "SOURCE", "target": "TARGET"}  # of trainers.data.synth.action_units


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
    except KeyboardInterrupt as stop:
        print(str(stop) or "Stopped.", file=sys.stderr)
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
    dataset_commands.add_synth(synth)
    flows = synth.add_parser("flows", help="flow fields of random faces, as the recognizer is trained on")
    flows.add_argument("--out", type=Path, required=True, help=".npz with flow, label, aus, peak_px, known")
    flows.add_argument("--samples", type=int, default=1000)
    flows.add_argument("--classes", choices=TABLES, default="coarse", help="default: %(default)s")
    flows.add_argument("--flow", choices=FLOWS, default="dis", help="method whose errors to imitate (%(default)s)")
    about_harder = "worse cameras and faces than trained on, and as much no expression as live: for `quantize`"
    flows.add_argument("--harder", action="store_true", help=about_harder)
    flows.add_argument("--as-set", type=float, help="share seen as in a flow set (0; with --harder 0.2)")
    flows.add_argument("--seed", type=int, default=0)
    flows.set_defaults(run=run_flows)
    pairs = synth.add_parser("pairs", help="onset and apex pictures of animated portraits")
    pairs.add_argument("portraits", type=Path, nargs="+", metavar="PORTRAIT")
    pairs.add_argument("--out", type=Path, required=True, help=".npz with onset, apex, label, aus, peak_px, face")
    pairs.add_argument("--samples", type=int, default=200)
    pairs.add_argument("--classes", choices=TABLES, default="coarse", help="default: %(default)s")
    pairs.add_argument("--seed", type=int, default=0)
    pairs.set_defaults(run=run_pairs)

    train = commands.add_parser("train", help="train a recognizer, on synthetic or on prepared data")
    train.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    train.add_argument("--samples", type=int, default=100_000, help="synthetic flows (default: %(default)s)")
    train.add_argument("--epochs", type=int, default=5, help="default: %(default)s")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--flow", choices=FLOWS, default="dis", help="method it will run on (default: %(default)s)")
    train.add_argument("--classes", choices=TABLES, default="coarse", help="default: %(default)s")
    train.add_argument("--from", dest="start", type=Path, metavar="BUNDLE", help="train this one further, trunk too")
    train.add_argument("--few-shot", type=Path, metavar="INDEX.csv", help="with --from: also on this labelled flow set")
    train.add_argument("--portraits", type=Path, nargs="+", default=[], help="train the apex branch, on these faces")
    train.add_argument("--pairs", type=int, default=2000, help="picture pairs of them (default: %(default)s)")
    learning.add_options(train)
    train.set_defaults(run=run_train)

    dataset_commands.add_commands(commands)
    evaluation.add_commands(commands)
    precision.add_commands(commands)
    return top


def run_clips(options: argparse.Namespace) -> None:
    from merau.trainers.data.synth import clips

    clips.main([options.what, *options.rest])


def run_flows(options: argparse.Namespace) -> None:
    import numpy as np

    from merau.trainers.data.synth import action_units
    from merau.trainers.data.synth.flow_fields import HARDER, FlowSettings, draw

    base = HARDER if options.harder else FlowSettings()
    as_set = base.as_set if options.as_set is None else options.as_set
    kinds = getattr(action_units, TABLES[options.classes])
    settings = replace(base, flow=options.flow, as_set=as_set, combinations=kinds)
    np.savez_compressed(options.out, **vars(draw(options.seed, options.samples, settings)))


def run_pairs(options: argparse.Namespace) -> None:
    import numpy as np

    from merau.trainers.data.synth import action_units
    from merau.trainers.data.synth.image_pairs import draw_pairs

    kinds = getattr(action_units, TABLES[options.classes])
    np.savez_compressed(options.out, **vars(draw_pairs(options.portraits, options.samples, options.seed, kinds)))


def run_train(options: argparse.Namespace) -> None:
    if options.setting:
        learning.run_staged(options)
    elif options.data or options.frames or options.resume:
        raise UserError("--data, --frames and --resume are for MERAU stage by stage: choose one with --setting.")
    else:
        run_synthetic(options)


def run_synthetic(options: argparse.Namespace) -> None:
    import torch

    from merau.engine import bundle
    from merau.engine.recognizer import Recognizer
    from merau.trainers.data.synth import action_units
    from merau.trainers.data.synth.flow_fields import HARDER, FlowSettings, draw
    from merau.trainers.data.synth.image_pairs import draw_pairs, measure, pictures
    from merau.trainers.evaluate.synthetic import KEPT_OUT, score
    from merau.trainers.export.bundle import export, load_model
    from merau.trainers.learn.apex_branch import pretrain
    from merau.trainers.learn.fusion import FlowTraining, add_apex, train
    from merau.trainers.learn.settings import DetectorSettings, TcaeSettings

    settings = FlowTraining(samples=options.samples, epochs=options.epochs, seed=options.seed)
    kinds = getattr(action_units, TABLES[options.classes])
    few = shots(options) if options.few_shot else None  # what is the user's comes first: drawing takes minutes
    drawn = draw_pairs(options.portraits, options.pairs, settings.seed) if options.portraits else None
    classes = FlowSettings(combinations=kinds).classes
    pairs = 0 if few else round(ANIMATED * settings.samples)
    start = load_model(options.start) if options.start else None
    data = training_flows(options, settings, kinds, pairs, few)
    model = train(data, settings, classes=len(classes), start=start and start.flow)
    if drawn:
        onset, apex = (torch.from_numpy(pictures(crops)) for crops in (drawn.onset, drawn.apex))
        aus = torch.from_numpy(drawn.aus)
        module = pretrain(onset, apex, aus, TcaeSettings(), DetectorSettings(), seed=settings.seed)
        model = add_apex(model, module, measure(drawn, method=options.flow), apex, seed=settings.seed)
    export(
        model,
        options.out,
        name=f"merau-{options.out.name}",
        kept_back=[
            draw(settings.seed + KEPT_BACK_SEED, 8000, replace(HARDER, flow=options.flow, combinations=kinds)),
            animated(settings.seed + KEPT_BACK_SEED, 1000, kinds, options.flow),
        ],
        trained_on={
            "flows": asdict(settings),
            "animated_pairs": pairs,
            "portraits": [path.name for path in options.portraits],
        },
        classes=classes,
        flow=options.flow,
    )
    recognizer = Recognizer.load(options.out, device="cpu")
    kept_out = replace(KEPT_OUT, flow=options.flow, combinations=kinds)
    as_set = replace(kept_out, as_set=1.0)
    scores = {
        "kept_out_settings": score(recognizer, draw(SCORED_SEED, SCORED_SAMPLES, kept_out)),
        "kept_out_flow_set": score(recognizer, draw(SCORED_SEED + 1, SCORED_SAMPLES // 2, as_set)),
        "animated_portrait": score(recognizer, animated(SCORED_SEED, 1000, kinds, options.flow)),
    }
    bundle.save(options.out, recognizer.bundle.card | {"scores": scores})


def training_flows(
    options: argparse.Namespace, settings: "FlowTraining", kinds: "Combinations", pairs: int, few: "Flows | None"
) -> "Flows":
    """Drawn flow as the live path and flow sets show it; among it the `few` labelled samples, or `pairs` of an animated
    portrait, seen both ways: drawn flow imitates how a method errs, there it errs itself.
    """
    from merau.trainers.data.synth.flow_fields import SET_SHARE, WIDER, FlowSettings, concatenate, draw
    from merau.trainers.data.synth.image_pairs import as_flow_set
    from merau.trainers.learn.fusion import with_replay

    seed, flow = settings.seed, options.flow
    live = draw(seed, settings.samples, FlowSettings(flow=flow, as_set=SET_SHARE, combinations=kinds))
    sets = draw(seed + 1, round(SETS * settings.samples), replace(WIDER, flow=flow, combinations=kinds))
    drawn = concatenate([live, sets])
    if few:
        return with_replay(few, drawn)
    faces = animated(seed, pairs, kinds, flow)
    return with_replay(concatenate([faces, as_flow_set(faces, seed)]), drawn, share=ANIMATED_SHARE)


def animated(seed: int, samples: int, kinds: "Combinations", flow: str) -> "Flows":
    from merau.trainers.data.synth.clips import ASTRONAUT
    from merau.trainers.data.synth.image_pairs import draw_pairs, measure

    return measure(draw_pairs([ASTRONAUT], samples, seed, kinds), method=flow)


def shots(options: argparse.Namespace) -> "Flows":
    """The labelled samples of the flow set that --few-shot names; which Action Units they show is not known."""
    from merau.trainers.data import labelled

    if not options.start or options.classes != "coarse":
        raise UserError("--few-shot trains a bundle of negative, positive and surprise further: name it with --from.")
    return labelled.read_set(options.few_shot)


if __name__ == "__main__":
    sys.exit(main())
