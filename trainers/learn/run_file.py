"""run.json: what a training was, so that it can be repeated."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from merau.engine.errors import UserError

NAME = "run.json"
PACKAGES = ("merau-live", "torch", "numpy", "opencv-python-headless", "onnx")


@dataclass(frozen=True)
class RecordedRun:
    """A training.

    Attributes:
        arguments: Those of the command line after `merau-lab`, without --out; paths are relative to where it ran.
        inputs: Hash of each file that it read, by path as given.
        versions: Of Python and of the packages that numbers depend on.
    """

    arguments: list[str]
    inputs: dict[str, str]
    versions: dict[str, str]


def write_run(folder: Path, arguments: Sequence[str], files: Sequence[Path]) -> None:
    """Write run.json into `folder`. Raises UserError where that fails."""
    recorded = RecordedRun(without_out(arguments), hash_files(files), current_versions())
    try:
        (folder / NAME).write_text(json.dumps(asdict(recorded), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder / NAME} cannot be written: {error.strerror}.") from error


def read_run(path: Path) -> RecordedRun:
    """Read a run.json. Raises UserError where it is none."""
    try:
        recorded = RecordedRun(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is no run.json of merau-lab train: {' '.join(str(error).split())}.") from error
    if not recorded.arguments or recorded.arguments[0] != "train" or "--out" in recorded.arguments:
        raise UserError(f"{path} is no run.json of merau-lab train.")
    return recorded


def differences(recorded: RecordedRun) -> list[str]:
    """Return what is other than it was, one sentence each: the numbers may differ."""
    now = current_versions()
    sentences = [
        f"{name} was {before} and is {now.get(name, 'missing')}."
        for name, before in recorded.versions.items()
        if now.get(name) != before
    ]
    hashes = hash_files([Path(name) for name in recorded.inputs])
    return [*sentences, *(f"{name} has changed." for name, one in recorded.inputs.items() if hashes[name] != one)]


def without_out(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without --out and its value."""
    kept = list(arguments)
    for i, argument in enumerate(kept):
        if argument == "--out":
            return [*kept[:i], *kept[i + 2 :]]
        if argument.startswith("--out="):
            return [*kept[:i], *kept[i + 1 :]]
    return kept


def hash_files(files: Sequence[Path]) -> dict[str, str]:
    """Return the sha256 of each file, "" where there is none."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "" for file in files}


def current_versions() -> dict[str, str]:
    """Return the versions of Python and of PACKAGES."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}}
