"""`merau bench`: how long each stage takes on this machine."""

import argparse
import json
from typing import Any

from merau.stream.commands import options


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "bench", "time every stage of the pipeline on this machine", run)
    options.add_recognizer_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    from merau.stream.benchmark import run_benchmark

    settings = options.pipeline_settings(arguments)
    recognizer = options.warm_up(options.load_recognizer(arguments))
    figures = run_benchmark(recognizer, settings)
    print(json.dumps(figures) if arguments.json else format_benchmark(figures))
    return 0


def format_benchmark(figures: dict[str, Any]) -> str:
    """Return the figures as lines of text."""
    stages = (*figures["stages"].items(), ("whole", figures["pipeline"]))
    lines = [
        f"{figures['clip']}, {figures['host']['cores']} cores",
        f"{'decode':<10}{figures['decode']['frames_per_s']:>8.0f} frames/s",
        *(
            f"{stage:<10}{times['median_ms']:>8.2f} ms median, {times['p95_ms']:.2f} ms 95th percentile, "
            f"{times['calls']} calls"
            for stage, times in stages
        ),
        f"{'':<10}{figures['pipeline']['frames_per_s']:>8.0f} frames/s from decoding to event",
    ]
    return "\n".join(lines)
