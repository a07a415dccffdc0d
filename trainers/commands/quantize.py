"""`merau-lab quantize`: write a bundle's INT8 or FP8 trunk."""

import argparse
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from merau.engine.bundle import resolve
from merau.engine.errors import UserError
from merau.trainers.commands.options import add_command

if TYPE_CHECKING:
    import numpy as np


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    purpose = "write a bundle's INT8 or FP8 trunk, if it stays as accurate as FP32"
    parser = add_command(commands, "quantize", purpose, run)
    about = "default, source, or a bundle's folder"
    parser.add_argument("bundle", metavar="BUNDLE", type=resolve, help=about)
    about = ".npz of `merau-lab synth flows --harder` or `merau-lab synth pairs`, or a flow set's CSV"
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=about)
    methods = ("minmax", "entropy", "percentile", "mse")
    about = "how quantization ranges are found (default: %(default)s)"
    parser.add_argument("--method", choices=methods, default="percentile", help=about)
    about = "precision of the trunk (default: %(default)s)"
    parser.add_argument("--precision", choices=("int8", "fp8"), default="int8", help=about)
    about = "with int8: accepted share of errors among predictions that are not uncertain (default: 0.06)"
    parser.add_argument("--risk", type=float, help=about)
    about = "folder for a changed copy (default: BUNDLE itself is changed)"
    parser.add_argument("--out", type=Path, help=about)
    about = "diagram of each layer's error to write, with a JSON file beside it (default: none)"
    parser.add_argument("--report", type=Path, metavar="SVG", help=about)


def run(options: argparse.Namespace) -> None:
    """Quantize a draft, and move it into place only when it passed the accuracy gate."""
    from merau.calib.quantize import sensitivity_svg
    from merau.engine import bundle as bundles
    from merau.trainers.data import labelled
    from merau.trainers.export.bundle import RISK, check_sees_flow, quantize_trunk

    if options.risk is not None and options.precision != "int8":
        raise UserError("--risk needs --precision int8: confidence is calibrated on INT8 outputs.")
    risk = RISK if options.risk is None else options.risk
    source: Path = options.bundle
    bundle = bundles.load(source)
    check_sees_flow(bundle)
    if not source.is_dir():
        raise UserError(f"{source} is not a folder: unpack the bundle first.")
    data = [labelled.read(path, method=bundle.card["input"]["flow"][0]) for path in options.data]
    for path, flows in zip(options.data, data, strict=True):
        check_classes(path, flows.label, bundle.card["classes"])
    card = {key: value for key, value in bundle.card.items() if key not in ("format", "sha256")}
    folder = options.out or source
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as beside:
        draft = Path(shutil.copytree(source, Path(beside) / "draft"))
        report = quantize_trunk(draft, card, data, precision=options.precision, method=options.method, risk=risk)
        bundles.save(draft, card)
        move(draft, folder)
    document = {"bundle": bundle.name, **report.document, "calibration": card["calibration"]}
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(sensitivity_svg(report), encoding="utf-8")
        options.report.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=2))


def check_classes(path: Path, labels: "np.ndarray", known: list[str]) -> None:
    """Raise UserError unless the labels (N,) of `path` are numbers of the classes that a bundle knows."""
    from merau.trainers.data.synth.flow_fields import CLASSES

    for label in sorted(set(labels.tolist())):
        name = CLASSES[label] if label in range(len(CLASSES)) else "unknown"
        if dict(enumerate(known)).get(label) != name:
            raise UserError(
                f"{path} has samples of class {label} ({name}), but the bundle's classes are {', '.join(known)}: "
                "give data of these classes."
            )


def move(draft: Path, folder: Path) -> None:
    """Move the files of `draft` into `folder`, model.json last."""
    folder.mkdir(exist_ok=True)
    for path in sorted(draft.iterdir(), key=lambda path: path.name == "model.json"):
        shutil.move(path, folder / path.name)
