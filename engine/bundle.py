"""The format of a recognizer: a folder or zip of data, without code.

    model.json          input, classes, training data and scores, and the sha256 of each file
    trunk.fp32.onnx     flow (and apex image) -> embedding, Action Unit logits
    trunk.int8.onnx     the same, quantized
    head.safetensors    embedding -> classes
    domain.safetensors  embeddings of samples like the training data, for the domain gauge; optional
    trunk.fp8.onnx      the trunk in FP8, for GPUs; optional
    spotter.onnx        candidate -> kind of movement, with its own card; without it the default bundle's is used

`model.json` is the card for programs, CARD.md beside it the one for people.
"""

import hashlib
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from merau.engine.bounded import read_bounded, too_large
from merau.engine.card import check_card
from merau.engine.errors import UserError

SHIPPED = Path(__file__).with_name("bundles")  # default, source
FORMAT = 2
OLD_FORMAT = 1  # whose trunks took u and v scaled together
FIELDS = ("format", "name", "input", "classes", "aus", "calibration", "trained_on", "scores", "sha256")
TRUNKS = {"fp32": "trunk.fp32.onnx", "int8": "trunk.int8.onnx"}
HEAD = "head.safetensors"
DOMAIN = "domain.safetensors"
EXTRA_TRUNKS = {"fp8": "trunk.fp8.onnx"}
SPOTTER = "spotter.onnx"
MAX_CARD_BYTES = 1_000_000
MAX_BUNDLE_BYTES = 128_000_000  # of all files, unpacked; the shipped bundles have 3 MB
MAX_DIFFERENCES = 12  # in a message
READ_ERRORS = (  # RuntimeError: a zip with a password, or of a packing that Python does not know
    *(OSError, KeyError, ValueError, RecursionError, RuntimeError, EOFError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
Read = Callable[[str, int], bytes]  # name of a file and limit of its size to content


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
    read, where = open_reader(path)
    try:
        raw = read("model.json", MAX_CARD_BYTES)
        card = json.loads(raw)
    except (FileNotFoundError, KeyError) as error:  # of a folder, of a zip
        raise UserError(f"{where} is not a recognizer bundle: it has no model.json.") from error
    except READ_ERRORS as error:
        raise UserError(f"{where} is not a recognizer bundle: its model.json cannot be read ({error}).") from error
    missing = [name for name in FIELDS if name not in card] if isinstance(card, dict) else list(FIELDS)
    if missing:
        raise UserError(f"{where} is not a recognizer bundle: its model.json lacks {', '.join(missing)}.")
    if card["format"] == OLD_FORMAT:
        raise UserError(
            f"{where} was made for an older version, which scaled flow by another rule: train it again with this "
            f"version (merau-lab train), or choose a shipped bundle ({', '.join(shipped_names())})."
        )
    if card["format"] != FORMAT:
        raise UserError(f"{where} has bundle format {card['format']!s:.20}; this version reads format {FORMAT}.")
    check_card(card, where)
    absent = {HEAD, *TRUNKS.values()} - set(card["sha256"])
    if absent:
        raise UserError(f"{where} is incomplete: its model.json lists no {', '.join(sorted(absent))}.")
    content: dict[str, bytes] = {}
    for name, digest in card["sha256"].items():
        content[name] = read_checked(read, name, digest, where, MAX_BUNDLE_BYTES - sum(map(len, content.values())))
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


def open_reader(path: Path | None) -> tuple[Read, str]:
    """Return what reads a file of the bundle at `path`, and the bundle's name for messages."""
    if path is None:
        return partial(read_from_folder, SHIPPED / "default"), "The default bundle"
    if path.is_dir():
        return partial(read_from_folder, path), str(path)
    if not path.exists():
        names = ", ".join(shipped_names())
        raise UserError(f"There is no bundle at {path}: choose {names}, or the path of a folder or zip.")
    if not (path.is_file() and zipfile.is_zipfile(path)):
        raise UserError(f"{path} is not a recognizer bundle: expected a folder or a zip file.")
    return partial(read_from_zip, path), str(path)


def read_from_folder(folder: Path, name: str, limit: int) -> bytes:
    """Read the file `name` of a folder; a link out of the folder is not followed."""
    path = (folder / name).resolve()
    if path.parent != folder.resolve():
        raise OSError("it lies outside the bundle")
    return read_bounded(path, limit)


def read_from_zip(path: Path, name: str, limit: int) -> bytes:
    """Read the file `name` of a zip, of which no more than `limit` bytes are unpacked."""
    with zipfile.ZipFile(path) as archive, archive.open(name) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise too_large(limit)
    return data


def read_checked(read: Read, name: str, digest: str, where: str, limit: int) -> bytes:
    """Read the file `name` and compare its sha256 with `digest`."""
    try:
        data = read(name, limit)
    except READ_ERRORS as error:
        raise UserError(f"{where} is incomplete or damaged: {name} cannot be read ({error}).") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(f"{where} is damaged: {name} does not have the sha256 that model.json states.")
    return data


def spotter_model(bundle: Bundle) -> bytes:
    """Return the bundle's spotter.onnx; of a bundle without one, that of the default bundle."""
    own = bundle.content.get(SPOTTER)
    return own if own is not None else (SHIPPED / "default" / SPOTTER).read_bytes()


def check_input(bundle: Bundle, given_input: dict[str, Any]) -> None:
    """Check that `bundle` was made for this input, which is nested like the card's "input".

    Raises:
        UserError: It was made for another input; the message lists the first differences.
    """
    wanted, given = flatten(bundle.card["input"]), flatten(given_input)
    names = sorted(wanted.keys() | given.keys())
    differing = [
        f"{name:.40} is {wanted.get(name, 'absent')!s:.40} in the bundle"
        f" and {given.get(name, 'absent')!s:.40} in the pipeline"
        for name in names
        if wanted.get(name) != given.get(name)
    ]
    if differing:
        raise UserError(f"Bundle {bundle.name} was made for another input: {'; '.join(differing[:MAX_DIFFERENCES])}.")


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def save(folder: Path, card: dict[str, Any]) -> None:
    """Write model.json into `folder`, which has the other files already; adds format and hashes to `card`.

    A folder without spotter.onnx gets that of the default bundle.
    """
    if not (folder / SPOTTER).exists():
        (folder / SPOTTER).write_bytes((SHIPPED / "default" / SPOTTER).read_bytes())
    extra = [name for name in (DOMAIN, SPOTTER, *EXTRA_TRUNKS.values()) if (folder / name).exists()]
    names = [HEAD, *TRUNKS.values(), *extra]
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    text = json.dumps({"format": FORMAT, **card, "sha256": hashes}, indent=2)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")
