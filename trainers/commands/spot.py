"""`merau-lab spot`: make a data set for the spotter's classifier, train it, tune and evaluate it."""

import argparse
import sys
from pathlib import Path
from typing import Any

from merau.engine.bundle import resolve
from merau.trainers.commands.options import add_command, add_seed
from merau.trainers.commands.output import write_json


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    parser = add_command(commands, "spot", "train and evaluate the classifier of the spotter", None)
    parser.set_defaults(run=lambda _: parser.print_help())
    steps = parser.add_subparsers(title="steps", metavar="STEP")
    add_dataset(steps)
    add_train(steps)
    add_tune(steps)
    add_evaluate(steps)
    add_compare(steps)


def add_dataset(steps: Any) -> None:
    """Add the parser of `spot dataset`."""
    parser = add_command(
        steps, "dataset", "render clips by several motion models, and cut faces from footage", run_dataset
    )
    parser.add_argument("out", type=Path, metavar="DATASET", help="folder of the data set; an interrupted run goes on")
    about = "pictures to animate; FILE#2 is the third face from the left (default: the astronaut that ships)"
    parser.add_argument("--faces", nargs="+", default=[], metavar="FILE", help=about)
    about = "videos of people who show no micro-expression, in which some are painted (default: none)"
    parser.add_argument("--footage", type=Path, nargs="+", default=[], metavar="FILE", help=about)
    parser.add_argument("--clips", type=int, default=168, help="number of rendered clips (default: %(default)s)")
    add_seed(parser)


def run_dataset(options: argparse.Namespace) -> None:
    """Make the data set."""
    from merau.trainers.data.synth.clips import ASTRONAUT
    from merau.trainers.spotting.dataset import make_dataset

    make_dataset(options.out, options.faces or [str(ASTRONAUT)], options.footage, options.clips, options.seed)


def add_train(steps: Any) -> None:
    """Add the parser of `spot train`."""
    parser = add_command(steps, "train", "train the classifier, and write it into a bundle", run_train)
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder that `spot dataset` made")
    add_target(parser)
    parser.add_argument("--epochs", type=int, help="times that every candidate is seen (default: 12)")
    add_seed(parser)


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the bundle that is changed, and the limit of false detections."""
    about = "bundle whose spotter.onnx is written: default, source, or a folder; several may be given"
    parser.add_argument("--bundle", type=resolve, nargs="+", required=True, metavar="BUNDLE", help=about)
    about = "most false micro-expressions a minute, on what was left out of training (default: the best F1 decides)"
    parser.add_argument("--false-per-minute", type=float, metavar="RATE", help=about)
    parser.add_argument("--out", type=Path, metavar="JSON", help="file for the report (default: printed)")


def run_train(options: argparse.Namespace) -> None:
    """Train, report, and write the bundles."""
    from merau.trainers.spotting.net import NetSettings
    from merau.trainers.spotting.train import install, train

    settings = NetSettings(seed=options.seed, **({"epochs": options.epochs} if options.epochs else {}))
    trained = train(options.dataset, settings, options.false_per_minute)
    for folder in options.bundle:
        install(trained.model, folder)
        print(f"wrote {folder}/spotter.onnx", file=sys.stderr)
    write_json(trained.report, options.out)


def add_tune(steps: Any) -> None:
    """Add the parser of `spot tune`."""
    parser = add_command(steps, "tune", "choose other thresholds for a trained classifier", run_tune)
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder that the classifier was trained on")
    add_target(parser)


def run_tune(options: argparse.Namespace) -> None:
    """Choose the thresholds on what was left out of training, and write the bundles."""
    from dataclasses import asdict

    from merau.engine import bundle as bundles
    from merau.trainers.spotting.recordings import record_all
    from merau.trainers.spotting.train import fit_decision, install, read_left_out, retune

    recordings = record_all(options.dataset)
    logits = read_left_out(options.dataset, len(recordings))
    _, thresholds = fit_decision(recordings, logits, options.false_per_minute)
    for folder in options.bundle:
        install(retune(bundles.spotter_model(bundles.load(folder)), thresholds), folder)
    write_json({"thresholds": asdict(thresholds)}, options.out)


def add_evaluate(steps: Any) -> None:
    """Add the parser of `spot evaluate`."""
    parser = add_command(steps, "evaluate", "score a bundle's classifier beside the rules", run_evaluate)
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="a data set that it was not trained on")
    about = "default, source, or a bundle's folder or zip (default: %(default)s)"
    parser.add_argument("--bundle", type=resolve, default="default", help=about)
    parser.add_argument("--out", type=Path, metavar="JSON", help="file for the report (default: printed)")


def run_evaluate(options: argparse.Namespace) -> None:
    """Score the classifier and the rules on every recording."""
    from merau.engine import bundle as bundles
    from merau.stream.spotter import SpanClassifier
    from merau.stream.spotter.span_net import span_net
    from merau.trainers.baselines.spot_rules import SpotRules
    from merau.trainers.spotting.recordings import record_all
    from merau.trainers.spotting.report import describe_results, score_classifier

    recordings = record_all(options.dataset)
    bundle = bundles.load(options.bundle)
    classifiers: dict[str, SpanClassifier] = {"rules": SpotRules(), bundle.name: span_net(bundle)}
    write_json(
        {
            name: describe_results(recordings, score_classifier(recordings, classifier))
            for name, classifier in classifiers.items()
        },
        options.out,
    )


def add_compare(steps: Any) -> None:
    """Add the parser of `spot compare`."""
    purpose = "score a bundle's spotter beside the spotting methods of the field"
    parser = add_command(steps, "compare", purpose, run_compare)
    about = "folder that `spot dataset` or `synth clips` made, or with your own videos"
    parser.add_argument("clips", type=Path, metavar="FOLDER", help=about)
    about = "CSV of the true intervals of your videos: subject, video, kind, onset and offset (frames)"
    parser.add_argument("--truth", type=Path, metavar="CSV", help=about)
    about = "methods to run; any other name lists them (default: all)"
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help=about)
    about = "default, farneback, source, or a bundle's folder or zip (default: %(default)s)"
    parser.add_argument("--bundle", type=resolve, default="default", help=about)
    parser.add_argument("--out", type=Path, metavar="JSON", help="file for all scores (default: none)")


def run_compare(options: argparse.Namespace) -> None:
    """Spot all clips by each method, and print a table."""
    from merau.engine import bundle as bundles
    from merau.trainers.spotting.rivals import METHODS, compare, markdown, read_clips

    documents = dict[str, Any]()
    clips = read_clips(options.clips, options.truth)
    for name, document in compare(clips, bundles.load(options.bundle), options.methods or tuple(METHODS)):
        documents[name] = document
        print(f"{name}: micro F1 {document['micro']['f1']:.3f}", file=sys.stderr)
        if options.out:
            write_json(documents, options.out)
    print(markdown(documents), end="")
