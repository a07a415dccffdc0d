"""The commands of merau-lab that change a bundle's arithmetic: quantize and build."""

import argparse
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from merau.engine.errors import UserError


def add_commands(commands: Any) -> None:
    """Add the parsers to argparse's subparsers `commands`."""
    quantize = commands.add_parser("quantize", help="write a bundle's INT8 or FP8 trunk, if it stays true to FP32")
    quantize.add_argument("bundle", metavar="BUNDLE", help="folder, or one that ships: default, farneback, source")
    about_data = ".npz of `merau-lab synth flows --harder` or `synth pairs`, or a flow set's CSV"
    quantize.add_argument("--data", type=Path, nargs="+", required=True, help=about_data)
    quantize.add_argument("--method", choices=("minmax", "entropy", "percentile", "mse"), default="percentile")
    quantize.add_argument("--precision", choices=("int8", "fp8"), default="int8")
    about_risk = "with int8: share of wrong among the answers that are not called uncertain (default: 0.06)"
    quantize.add_argument("--risk", type=float, help=about_risk)
    quantize.add_argument("--out", type=Path, help="folder for a changed copy (default: BUNDLE itself is changed)")
    quantize.add_argument("--report", type=Path, metavar="SVG", help="picture of each layer's error; JSON beside it")
    quantize.set_defaults(run=run_quantize)

    build = commands.add_parser("build", help="build a bundle's TensorRT engine; needs no GPU with tensorrt_rtx")
    build.add_argument("bundle", metavar="BUNDLE", help="folder or zip, or one that ships: default, farneback, source")
    build.add_argument("--precision", choices=("fp16", "int8", "fp8"), default="int8")
    build.add_argument("--arch", help="sm_75, sm_80, sm_86, sm_89 or sm_120 (default: this machine's GPU)")
    build.add_argument("--out", type=Path, help="folder (default: the cache that merau looks in)")
    build.set_defaults(run=run_build)


def bundle_folder(name: str) -> Path:
    """A path, or the name of a bundle that ships."""
    from merau.engine.bundle import SHIPPED

    return SHIPPED / name if (SHIPPED / name).is_dir() else Path(name)


def run_quantize(options: argparse.Namespace) -> None:
    from merau.calib.quantize import sensitivity_svg
    from merau.engine import bundle as bundles
    from merau.trainers.data import labelled
    from merau.trainers.export.bundle import RISK, quantize_trunk

    if options.risk is not None and options.precision != "int8":
        raise UserError("--risk goes with --precision int8: confidence is fitted to what INT8 answers.")
    risk = RISK if options.risk is None else options.risk
    source = bundle_folder(options.bundle)
    bundle = bundles.load(source)
    if not source.is_dir():
        raise UserError(f"{source} is no folder: unpack the bundle first.")
    data = [labelled.read(path, method=bundle.card["input"]["flow"]) for path in options.data]
    card = {key: value for key, value in bundle.card.items() if key not in ("format", "sha256")}
    folder = options.out or source
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as beside:
        draft = shutil.copytree(source, Path(beside) / "draft")
        report = quantize_trunk(draft, card, data, precision=options.precision, method=options.method, risk=risk)
        bundles.save(draft, card)
        move(draft, folder)
    document = {"bundle": bundle.name, **report.document, "calibration": card["calibration"]}
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(sensitivity_svg(report), encoding="utf-8")
        options.report.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=2))


def move(draft: Path, folder: Path) -> None:
    """What lies in `draft` into `folder`, model.json last."""
    folder.mkdir(exist_ok=True)
    for path in sorted(draft.iterdir(), key=lambda path: path.name == "model.json"):
        shutil.move(path, folder / path.name)


def run_build(options: argparse.Namespace) -> None:
    from merau.engine import bundle as bundles
    from merau.engine.cuda import driver
    from merau.engine.runtimes.tensorrt import cached_engine, library_version, load_library

    probe = driver.probe()
    if not options.arch and not probe.gpus:
        raise UserError(f"Say for which GPU with --arch: {probe.reason}.")
    arch = options.arch or probe.gpus[0].arch
    path, plan = cached_engine(bundles.load(bundle_folder(options.bundle)), options.precision, arch, folder=options.out)
    built = {"engine": str(path), "bytes": len(plan), "runtime": library_version(load_library())}
    print(json.dumps(built | {"precision": options.precision, "arch": arch}))
