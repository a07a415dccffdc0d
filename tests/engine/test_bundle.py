import json
import shutil
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from merau.engine import bundle
from merau.engine.errors import UserError

SHIPPED = Path(str(files("merau.engine"))) / "bundles" / "default"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))


def test_shipped_bundle_loads_from_folder_and_zip(copy):
    shipped = bundle.load()
    zipped = Path(shutil.make_archive(str(copy), "zip", copy))
    assert bundle.load(zipped) == shipped
    assert len(shipped.sha256) == 64
    assert (SHIPPED / "CARD.md").read_text(encoding="utf-8").startswith("#")


def test_find_shipped_finds_bundles_by_hash():
    other = SHIPPED.with_name("source")
    assert bundle.find_shipped(bundle.load(other).sha256) == other
    assert bundle.find_shipped("0" * 64) is None


def test_damaged_file_is_named(copy):
    trunk = copy / "trunk.int8.onnx"
    trunk.write_bytes(trunk.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match="damaged: trunk.int8.onnx"):
        bundle.load(copy)


def test_missing_file_is_named(copy):
    (copy / "head.safetensors").unlink()
    with pytest.raises(UserError, match="head.safetensors"):
        bundle.load(copy)


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"name": "another program's model"})])
def test_folder_without_a_bundle_is_refused(copy, text):
    (copy / "model.json").write_text(text)
    with pytest.raises(UserError, match="is not a recognizer bundle"):
        bundle.load(copy)


def test_folder_and_zip_without_a_card_are_refused(tmp_path):
    archive = tmp_path / "a.zip"
    zipfile.ZipFile(archive, "w").close()
    for path in (tmp_path, archive):
        with pytest.raises(UserError, match=f"^{path} is not a recognizer bundle: it has no model.json.$"):
            bundle.load(path)


def test_other_format_version_is_refused(copy):
    card = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(card | {"format": 3}))
    with pytest.raises(UserError, match="bundle format 3; this version reads format 2"):
        bundle.load(copy)


def test_bundle_of_an_older_version_says_what_to_do(copy):
    card = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(card | {"format": 1}))
    with pytest.raises(UserError) as raised:
        bundle.load(copy)
    assert str(raised.value) == (
        f"{copy} was made for an older version, which scaled flow by another rule: train it again with this version "
        "(merau-lab train), or choose a shipped bundle (default, source)."
    )


def test_missing_path_and_other_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="no bundle at"):
        bundle.load(tmp_path / "nowhere")
    (tmp_path / "video.mp4").write_bytes(b"not a zip")
    with pytest.raises(UserError, match="expected a folder or a zip"):
        bundle.load(tmp_path / "video.mp4")


def test_resolve_takes_names_of_shipped_bundles_and_paths():
    assert bundle.resolve("default") == SHIPPED
    assert bundle.resolve(Path("source")) == SHIPPED.with_name("source")
    assert bundle.resolve("./default") == Path("default")
    assert bundle.resolve("some/zip") == Path("some/zip")
    assert bundle.shipped_names() == ["default", "source"]
