"""`merau-lab build`: build a bundle's TensorRT engine."""

import argparse
import json
from pathlib import Path
from typing import Any

from merau.engine.bundle import resolve
from merau.engine.errors import UserError
from merau.trainers.commands.options import add_command


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    purpose = "build a bundle's TensorRT engine; with tensorrt_rtx it needs no GPU"
    parser = add_command(commands, "build", purpose, run)
    about = "default, source, or a bundle's folder or zip"
    parser.add_argument("bundle", metavar="BUNDLE", type=resolve, help=about)
    about = "precision of the engine (default: %(default)s)"
    parser.add_argument("--precision", choices=("fp16", "int8", "fp8"), default="int8", help=about)
    about = "GPU architecture: sm_75, sm_80, sm_86, sm_89 or sm_120 (default: that of this machine's GPU)"
    parser.add_argument("--arch", help=about)
    about = "folder for the engine (default: the cache that merau reads)"
    parser.add_argument("--out", type=Path, help=about)


def run(options: argparse.Namespace) -> None:
    """Build the engine and print where it is, as JSON."""
    from merau.engine import bundle as bundles
    from merau.engine.cuda import driver
    from merau.engine.runtimes.tensorrt import cached_engine, library_version, load_library

    probe = driver.probe()
    if not options.arch and not probe.gpus:
        raise UserError(f"Name a GPU architecture with --arch: {probe.reason}.")
    arch = options.arch or probe.gpus[0].arch
    path, plan = cached_engine(bundles.load(options.bundle), options.precision, arch, folder=options.out)
    built = {"engine": str(path), "bytes": len(plan), "runtime": library_version(load_library())}
    print(json.dumps(built | {"precision": options.precision, "arch": arch}))
