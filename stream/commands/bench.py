"""`merau bench`: how long each stage takes on this machine."""

import argparse
import json
from typing import Any

from merau.engine.errors import UserError
from merau.stream.commands import options
from merau.stream.formatting import pluralize


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "bench", "time every stage of the pipeline on this machine", run)
    parser.add_argument(
        "--capacity",
        action="store_true",
        help="instead say how many cameras of which kind this machine carries; --faces is not used",
    )
    parser.add_argument(
        "--machines",
        type=int,
        default=1,
        metavar="N",
        help="with --capacity, how many a cluster of N such machines carries (default: %(default)s)",
    )
    options.add_recognizer_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    if arguments.capacity:
        return run_capacity(arguments)
    from merau.stream.benchmark import run_benchmark

    settings = options.pipeline_settings(arguments)
    recognizer = options.warm_up(options.load_recognizer(arguments))
    figures = run_benchmark(recognizer, settings)
    print(json.dumps(figures) if arguments.json else format_benchmark(figures))
    return 0


def run_capacity(arguments: argparse.Namespace) -> int:
    """Measure and print how many cameras this machine carries."""
    from merau.stream.capacity import HEADROOM, RATE_HZ, measure_all
    from merau.stream.scheduling import count_cores

    if arguments.machines < 1:
        raise UserError("--machines is {number}: choose 1 or more.", number=arguments.machines)
    options.warm_up(options.load_recognizer(arguments))
    kinds = [one.fields(arguments.machines) for one in measure_all(lambda: options.load_recognizer(arguments))]
    cores = count_cores()
    if arguments.json:
        print(json.dumps({"cores": cores, "rate_hz": RATE_HZ, "headroom": HEADROOM, "kinds": kinds}))
        return 0
    print(f"{cores} cores, one face, {RATE_HZ:g} frames/s, {HEADROOM:.0%} of the machine left free")
    for kind in kinds:
        size = f"{kind['width_px']}x{kind['height_px']}, {kind['detector']}"
        cluster = f", {kind['cluster_cameras']} on {arguments.machines} machines" if arguments.machines > 1 else ""
        print(f"{size:<18}{pluralize(kind['cameras'], 'camera')}{cluster} ({kind['cpu_ms_per_frame']:.1f} ms a frame)")
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
