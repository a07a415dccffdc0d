"""`merau-lab train`: train a recognizer.

It is trained on synthetic data, or as MERAU stage by stage on prepared sets.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from merau.engine.bundle import resolve
from merau.engine.errors import UserError
from merau.trainers.commands.options import add_classes, add_command, add_macro, add_seed, combinations_of


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    parser = add_command(commands, "train", "train a recognizer on synthetic or on prepared data", run)
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    about = "bundle to train further, trunk included: default, source, or a folder (default: none)"
    parser.add_argument("--from", dest="start", type=resolve, metavar="BUNDLE", help=about)
    add_seed(parser)
    synthetic = parser.add_argument_group("on synthetic data")
    about = "synthetic flow fields to draw for each net of the ensemble (default: %(default)s)"
    synthetic.add_argument("--samples", type=int, default=56_000, help=about)
    synthetic.add_argument("--epochs", type=int, default=3, help="passes over the data (default: %(default)s)")
    about = "CNNs in the ensemble (default: %(default)s)"
    synthetic.add_argument("--nets", type=int, default=3, help=about)
    about = "geometry of the faces: mixed, or bumps for none of scans (default: %(default)s)"
    synthetic.add_argument("--geometry", choices=("mixed", "bumps"), default="mixed", help=about)
    add_classes(synthetic)
    about = "labelled flow set to train on as well; needs --from"
    synthetic.add_argument("--few-shot", type=Path, metavar="INDEX.csv", help=about)
    about = "portraits to train the apex branch on (default: no apex branch)"
    synthetic.add_argument("--portraits", type=Path, nargs="+", default=[], metavar="PORTRAIT", help=about)
    about = "image pairs to draw of the portraits (default: %(default)s)"
    synthetic.add_argument("--pairs", type=int, default=2000, help=about)
    staged = parser.add_argument_group("MERAU stage by stage, on prepared sets")
    about = "merau, merau-cd, ... or a YAML file (any other name lists all of them)"
    staged.add_argument("--setting", help=about)
    about = "labelled sets that `prepare` wrote"
    staged.add_argument("--data", type=Path, nargs="+", metavar="INDEX.csv", help=about)
    about = "more sets for TCAE, which needs no labels"
    staged.add_argument("--frames", type=Path, nargs="+", metavar="INDEX.csv", help=about)
    about = "network of another paper to train instead, on --data or on drawn flow: ststnet, rcn, attribute, ma2mi, ..."
    staged.add_argument("--model", metavar="NAME", help=about)
    add_macro(staged)
    staged.add_argument("--resume", action="store_true", help="continue the training in --out")


def run(options: argparse.Namespace) -> None:
    """Train a network that is named, stage by stage where a setting is given, else on synthetic data."""
    from merau.trainers.learn.run_file import write_run

    if options.model:
        run_network(options)
    elif options.setting:
        run_staged(options)
    elif options.data or options.frames or options.resume:
        raise UserError("--data, --frames and --resume need --setting: they train MERAU stage by stage.")
    else:
        run_synthetic(options)
    indices = [*(options.data or ()), *(options.frames or ()), *options.macro, *filter(None, [options.few_shot])]
    write_run(options.out, options.arguments, indices)


def run_network(options: argparse.Namespace) -> None:
    """Train a network of another paper."""
    from merau.trainers.learn.network import train_bundle

    if options.setting or options.start or options.few_shot or options.portraits:
        raise UserError("--model trains a network of its own: leave out --setting, --from, --few-shot and --portraits.")
    train_bundle(
        options.model,
        options.out,
        indices=tuple(options.data or ()),
        macro=tuple(options.macro),
        seed=options.seed,
    )


def run_staged(options: argparse.Namespace) -> None:
    """Train MERAU stage by stage on prepared sets."""
    from merau.trainers.learn import settings
    from merau.trainers.learn.staged import StagedTraining, train_bundle

    if not options.data:
        raise UserError("--setting trains on prepared sets: name them with --data.")
    training = StagedTraining(
        replace(settings.read(options.setting), seed=options.seed),
        data=tuple(options.data),
        frames=tuple(options.frames or ()),
        start=options.start,
    )
    train_bundle(training, options.out, resume=options.resume)


def run_synthetic(options: argparse.Namespace) -> None:
    """Train on drawn flow, with an apex branch where portraits are given."""
    from merau.trainers.learn.fusion import FlowTraining
    from merau.trainers.learn.synthetic import SyntheticTraining, train_bundle

    if options.few_shot and (not options.start or options.classes != "coarse"):
        raise UserError("--few-shot needs --from: a bundle of negative, positive and surprise to train further.")
    training = SyntheticTraining(
        FlowTraining(samples=options.samples, epochs=options.epochs, nets=options.nets, seed=options.seed),
        combinations=combinations_of(options),
        geometry=options.geometry,
        start=options.start,
        few_shot=options.few_shot,
        portraits=tuple(options.portraits),
        image_pairs=options.pairs,
    )
    train_bundle(training, options.out)
