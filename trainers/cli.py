"""merau-lab: make synthetic data, train and measure recognizers."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from engine.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when done, 1 after a sentence on stderr, 130 on Ctrl-C."""
    options = parser().parse_args(arguments)
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
    train = commands.add_parser("train", help="train a recognizer on synthetic flow and write its bundle")
    train.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    train.add_argument("--samples", type=int, default=100_000, help="synthetic pairs to train on")
    train.add_argument("--epochs", type=int, default=8)
    train.add_argument("--seed", type=int, default=0)
    train.set_defaults(run=run_train)
    return top


def run_train(options: argparse.Namespace) -> None:
    from trainers.data.synth.flows import FlowSettings
    from trainers.export import export
    from trainers.learn.fusion import FusionSettings, draw, train

    settings = FusionSettings(samples=options.samples, epochs=options.epochs, seed=options.seed)
    model = train(draw(settings.seed, settings.samples, FlowSettings()), settings)
    export(
        model,
        options.out,
        name="merau-synthetic",
        calibration=draw(settings.seed + 1_000_003, 6000, FlowSettings()),
        trained_on={"data": "synthetic flow only", **asdict(settings)},
        scores={},
    )


if __name__ == "__main__":
    sys.exit(main())
