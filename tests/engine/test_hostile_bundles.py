"""Bundles that were damaged or made to do harm: one sentence each, before any work starts."""

import hashlib
import json
import os
import resource
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from merau.engine import bundle, heads
from merau.engine.bundle import DOMAIN, HEAD, SHIPPED, TRUNKS
from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer

INT8 = TRUNKS["int8"]
CLASSES = "negative\npositive\nsurprise\nno expression"
ARRAYS = load((SHIPPED / "default" / HEAD).read_bytes())
WIDTH = ARRAYS["weight"].shape[1]  # of an embedding


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED / "default", tmp_path / "bundle"))


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as raised:
        Recognizer.load(path, device="cpu")
    return str(raised.value)


def change_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads((folder / "model.json").read_text())
    change(card)
    (folder / "model.json").write_text(json.dumps(card))


def change_file(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    change_card(folder, lambda card: card["sha256"].update({name: hashlib.sha256(content).hexdigest()}))


def head(classes: str = CLASSES, **arrays: np.ndarray) -> bytes:
    return save(ARRAYS | arrays, metadata={"kind": "linear", "classes": classes})


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("name", 5, "name must be"),
        ("name", "a\x1b[2Jb", "name must be"),
        ("classes", [1, 2], "classes must be"),
        ("classes", ["a", "a"], "classes must be"),
        ("aus", {"1": 2}, "aus must be"),
        ("aus", ["1", "2"], "units must be"),
        ("input", [], "input must be"),
        ("input", {"flow": ["raft"]}, "flow method"),
        ("input", {"flow": "dis"}, "flow of its input must be"),
        ("input", {}, "flow of its input must be"),
        ("scores", [1], "scores must be"),
        ("sha256", [], "sha256 must be"),
        ("sha256", {"../../model.json": "00"}, "sha256 must be plain"),
        ("sha256", {"/dev/zero": "00"}, "sha256 must be plain"),
        ("calibration", [], "calibration must be"),
        ("calibration.temperature", 0, "temperature must be"),
        ("calibration.temperature", float("nan"), "temperature must be"),
        ("calibration.threshold", "x", "threshold must be"),
        ("calibration.units", {"1": [1, 2, 3]}, "units must be"),
        ("calibration.units", {"1": [1, float("inf")]}, "units must be"),
    ],
    ids=str,
)
def test_card_with_a_wrong_field_is_refused(copy, path, value, expected):
    def change(card):
        *parents, last = path.split(".")
        for parent in parents:
            card = card[parent]
        card[last] = value

    change_card(copy, change)
    assert expected in error_of(copy)


def test_card_that_is_nested_or_large_is_refused(copy):
    (copy / "model.json").write_text("[" * 100_000)
    assert "model.json cannot be read" in error_of(copy)
    shutil.copy(SHIPPED / "default" / "model.json", copy)
    change_card(copy, lambda card: card["scores"].update(deep=json.loads('{"a":' * 200 + "1" + "}" * 200)))
    assert "scores must be a table" in error_of(copy)
    (copy / "model.json").write_bytes(b" " * (bundle.MAX_CARD_BYTES + 1))
    assert "it is larger than 1 MB" in error_of(copy)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        head(weight=np.full((4, WIDTH), np.nan, np.float32)),
        head(weight=np.full((4, WIDTH), 1e30, np.float32)),
        head(weight=np.zeros((4, WIDTH), np.int8)),
        head(weight=np.zeros((4, 7), np.float32)),
        head(weight=np.zeros((0, 10**10), np.float32), bias=np.zeros(0, np.float32)),
        head(bias=np.zeros(3, np.float32)),
        head("a\na\nb\nc"),
        head("a\nb\nc\nd"),
    ],
    ids=range(10),
)
def test_head_that_cannot_classify_is_refused(copy, content):
    change_file(copy, HEAD, content)
    assert "head" in error_of(copy) or "domain" in error_of(copy)


def test_head_of_another_dimension_does_not_fit_the_trunk(copy):
    change_file(copy, HEAD, head(weight=np.zeros((4, 7), np.float32)))
    change_file(copy, DOMAIN, save({"embedding": np.zeros((3, 7), np.float32)}))
    assert "its trunk does not fit its head and Action Units" in error_of(copy)


@pytest.mark.parametrize("embedding", [np.full((3, WIDTH), np.nan, np.float32), np.zeros((3, 5), np.float32)])
def test_domain_that_does_not_fit_is_refused(copy, embedding):
    change_file(copy, DOMAIN, save({"embedding": embedding}))
    assert f"holds no embeddings of {WIDTH} finite values" in error_of(copy)


def test_trunk_that_is_none_or_reads_other_files_is_refused(copy):
    for content in (b"junk", (copy / HEAD).read_bytes()):
        change_file(copy, INT8, content)
        assert "cannot run the bundle's trunk" in error_of(copy)
    entry = b"\x0a\x08location\x12\x0b/etc/passwd"
    change_file(copy, INT8, entry)
    assert "takes weights from other files" in error_of(copy)


def test_action_units_are_those_of_the_trunk(copy):
    change_card(copy, lambda card: card.update(aus=["1", "2"]) or card["calibration"].pop("units"))
    assert "its trunk does not fit its head and Action Units" in error_of(copy)


def test_link_out_of_the_bundle_and_pipe_are_not_read(copy, tmp_path):
    shutil.move(copy / HEAD, tmp_path / "outside")
    (copy / HEAD).symlink_to(tmp_path / "outside")
    assert "it lies outside the bundle" in error_of(copy)
    (copy / "model.json").unlink()
    os.mkfifo(copy / "model.json")
    assert "it is not a file" in error_of(copy)
    os.mkfifo(tmp_path / "fifo.zip")
    assert "expected a folder or a zip file" in error_of(tmp_path / "fifo.zip")


def test_zip_is_unpacked_up_to_a_limit_only(copy, tmp_path):
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(copy / "model.json", "model.json")
        with archive.open(HEAD, "w", force_zip64=True) as file:
            for _ in range(1000):
                file.write(bytes(1_000_000))
    assert (tmp_path / "bomb.zip").stat().st_size < 2_000_000
    assert "it is larger than 128 MB" in error_of(tmp_path / "bomb.zip")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 500_000


def test_zip_with_a_password_or_damage_is_refused(copy, tmp_path):
    zipped = Path(shutil.make_archive(str(tmp_path / "whole"), "zip", copy))
    data = bytearray(zipped.read_bytes())
    directory = data.rindex(b"model.json") - 46
    for at in (directory + 8, directory + 10):  # the flag of a password, and the packing
        changed = bytearray(data)
        changed[at] |= 0x61
        zipped.write_bytes(changed)
        error_of(zipped)


def test_heads_are_read_as_they_are_written(tmp_path):
    written = heads.load((SHIPPED / "default" / HEAD).read_bytes())
    heads.save(written, tmp_path / "head")
    assert heads.load((tmp_path / "head").read_bytes()).classes == written.classes
