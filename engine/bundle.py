"""The format of a recognizer: a folder or zip of data, without code.

    model.json          input, classes, training data and scores, and the sha256 of each file
    trunk.fp32.onnx     flow (and apex image) -> embedding, Action Unit logits
    trunk.int8.onnx     the same, quantized
    head.safetensors    embedding -> classes
    domain.safetensors  embeddings of samples like the training data, for the domain gauge; optional
    trunk.fp8.onnx      the trunk in FP8, for GPUs; optional

`model.json` is the card for programs, CARD.md beside it the one for people.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from merau.engine.errors import UserError

SHIPPED = Path(__file__).with_name("bundles")  # default, farneback (for flow on a GPU), source
FORMAT = 1
FIELDS = ("format", "name", "input", "classes", "aus", "calibration", "trained_on", "scores", "sha256")
TRUNKS = {"fp32": "trunk.fp32.onnx", "int8": "trunk.int8.onnx"}
HEAD = "head.safetensors"
DOMAIN = "domain.safetensors"
EXTRA_TRUNKS = {"fp8": "trunk.fp8.onnx"}


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are complete and undamaged.

    Attributes:
        name: Its name in the card.
        card: Content of model.json.
        content: Bytes of each file that the card lists, by file name.
        sha256: Hash of model.json, which covers all files.
    """

    name: str
    card: dict[str, Any]
    content: dict[str, bytes]
    sha256: str


def load(path: Path | None = None) -> Bundle:
    """Read a bundle.

    Args:
        path: A folder or zip. Default: the shipped bundle "default".

    Raises:
        UserError: The bundle is missing, incomplete, damaged, or of another format.
    """
    root, where = open_root(path)
    try:
        raw = (root / "model.json").read_bytes()
        card = json.loads(raw)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{where} is not a recognizer bundle: its model.json cannot be read ({error}).") from error
    missing = [name for name in FIELDS if name not in card] if isinstance(card, dict) else list(FIELDS)
    if missing:
        raise UserError(f"{where} is not a recognizer bundle: its model.json lacks {', '.join(missing)}.")
    if card["format"] != FORMAT:
        raise UserError(f"{where} has bundle format {card['format']}; this version reads format {FORMAT}.")
    absent = {HEAD, *TRUNKS.values()} - set(card["sha256"])
    if absent:
        raise UserError(f"{where} is incomplete: its model.json lists no {', '.join(sorted(absent))}.")
    content = {name: read_checked(root, name, digest, where) for name, digest in card["sha256"].items()}
    return Bundle(card["name"], card, content, hashlib.sha256(raw).hexdigest())


def resolve(bundle: str | Path) -> Path:
    """Return the folder of the shipped bundle of this name, else `bundle` as a path.

    A folder of the working directory that is named like a shipped bundle is reached by "./default".
    """
    return SHIPPED / bundle if str(bundle) in shipped_names() else Path(bundle)


def shipped_names() -> list[str]:
    """Return the names of the bundles that ship with the package."""
    return sorted(card.parent.name for card in SHIPPED.glob("*/model.json"))


def find_shipped(sha256: str) -> Path | None:
    """Return the folder of the shipped bundle with this sha256; None if there is none."""
    cards = SHIPPED.glob("*/model.json")
    return next((card.parent for card in cards if hashlib.sha256(card.read_bytes()).hexdigest() == sha256), None)


def open_root(path: Path | None) -> tuple[Traversable, str]:
    """Return the folder that contains model.json, and the bundle's name for messages."""
    if path is None:
        return SHIPPED / "default", "The default bundle"
    if path.is_dir():
        return path, str(path)
    if not path.exists():
        names = ", ".join(shipped_names())
        raise UserError(f"There is no bundle at {path}: choose {names}, or the path of a folder or zip.")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a recognizer bundle: expected a folder or a zip file.")
    return zipfile.Path(path), str(path)


def read_checked(root: Traversable, name: str, digest: str, where: str) -> bytes:
    """Read the file `name` and compare its sha256 with `digest`."""
    try:
        data = (root / name).read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{where} is incomplete or damaged: {name} cannot be read ({error}).") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(f"{where} is damaged: {name} does not have the sha256 that model.json states.")
    return data


def check_input(bundle: Bundle, given_input: dict[str, Any]) -> None:
    """Check that `bundle` was made for this input, which is nested like the card's "input".

    Raises:
        UserError: It was made for another input; the message lists every difference.
    """
    wanted, given = flatten(bundle.card["input"]), flatten(given_input)
    names = sorted(wanted.keys() | given.keys())
    differing = [
        f"{name} is {wanted.get(name, 'absent')} in the bundle and {given.get(name, 'absent')} in the pipeline"
        for name in names
        if wanted.get(name) != given.get(name)
    ]
    if differing:
        raise UserError(f"Bundle {bundle.name} was made for another input: {'; '.join(differing)}.")


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def save(folder: Path, card: dict[str, Any]) -> None:
    """Write model.json into `folder`, which has the other files already; adds format and hashes to `card`."""
    extra = [name for name in (DOMAIN, *EXTRA_TRUNKS.values()) if (folder / name).exists()]
    names = [HEAD, *TRUNKS.values(), *extra]
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    text = json.dumps({"format": FORMAT, **card, "sha256": hashes}, indent=2)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")
