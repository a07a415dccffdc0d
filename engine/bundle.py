"""The one format a recognizer ships in: a folder or zip of plain data, never code.

    model.json         what it was made for, what it answers, how it was trained and what it scored; sha256 of each file
    trunk.fp32.onnx    flow (and apex picture) -> embedding, Action Unit logits
    trunk.int8.onnx    the same, quantised
    head.safetensors   embedding -> classes
    domain.safetensors embeddings of samples like those trained on, for the domain gauge; may be absent
    trunk.fp8.onnx     the trunk in FP8, for GPUs; may be absent

`model.json` is the card a program reads, CARD.md beside it the one a person reads.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from merau.engine.errors import UserError

SHIPPED = Path(__file__).with_name("bundles")  # default, farneback (its twin for the flow on a GPU), source
FORMAT = 1
FIELDS = ("format", "name", "input", "classes", "aus", "calibration", "trained_on", "scores", "sha256")
TRUNKS = {"fp32": "trunk.fp32.onnx", "int8": "trunk.int8.onnx"}
HEAD = "head.safetensors"
DOMAIN = "domain.safetensors"
EXTRA_TRUNKS = {"fp8": "trunk.fp8.onnx"}


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are present and undamaged. `card` is model.json, `content` the bytes of each file it lists,
    `sha256` one hash over all of them.
    """

    name: str
    card: dict[str, Any]
    content: dict[str, bytes]
    sha256: str


def load(path: Path | None = None) -> Bundle:
    """Read the bundle at `path`, a folder or a zip; without a path, the one that ships with the package.

    Raises UserError where it is missing, foreign, of another format version, incomplete or damaged.
    """
    root, where = open_root(path)
    try:
        raw = (root / "model.json").read_bytes()
        card = json.loads(raw)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{where} is no recognizer bundle: its model.json cannot be read ({error}).") from error
    missing = [name for name in FIELDS if name not in card] if isinstance(card, dict) else list(FIELDS)
    if missing:
        raise UserError(f"{where} is no recognizer bundle: its model.json lacks {', '.join(missing)}.")
    if card["format"] != FORMAT:
        raise UserError(f"{where} has bundle format {card['format']}, this version reads format {FORMAT}.")
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
    """The folder of the bundle that ships with the package and has this `sha256`; None where there is none."""
    cards = SHIPPED.glob("*/model.json")
    return next((card.parent for card in cards if hashlib.sha256(card.read_bytes()).hexdigest() == sha256), None)


def open_root(path: Path | None) -> tuple[Traversable, str]:
    """The folder inside which model.json lies, and what to call the bundle in a message."""
    if path is None:
        return SHIPPED / "default", "The default bundle"
    if path.is_dir():
        return path, str(path)
    if not path.exists():
        raise UserError(f"There is no bundle at {path}.")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is no recognizer bundle: expected a folder or a zip file.")
    return zipfile.Path(path), str(path)


def read_checked(root: Traversable, name: str, digest: str, where: str) -> bytes:
    """The bytes of file `name`, after comparing their sha256 with `digest`."""
    try:
        data = (root / name).read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{where} is incomplete or damaged: {name} cannot be read ({error}).") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(f"{where} is damaged: {name} does not have the sha256 that model.json states.")
    return data


def check_input(bundle: Bundle, given_input: dict[str, Any]) -> None:
    """Raise UserError listing every point in which `bundle` was made for another input than `given_input`, nested
    like the card's "input".
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
    """{"a": {"b": 1}} -> {"a.b": 1}"""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def save(folder: Path, card: dict[str, Any]) -> None:
    """Write model.json into `folder`, where the other files already lie; adds format and hashes to `card`."""
    extra = [name for name in (DOMAIN, *EXTRA_TRUNKS.values()) if (folder / name).exists()]
    names = [HEAD, *TRUNKS.values(), *extra]
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    text = json.dumps({"format": FORMAT, **card, "sha256": hashes}, indent=2)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")
