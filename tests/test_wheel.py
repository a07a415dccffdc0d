"""Wheel and sdist: their content, and the wheel installed beside a distribution that owns the package `stream`."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("calib", "engine", "stream", "trainers")
OTHER = "stream-python==5.4.0"
STAND_IN = {  # what matters of OTHER, where it cannot be downloaded
    "stream/__init__.py": "def connect(api_key=None, api_secret=None):\n    return None\n",
    "stream_python-5.4.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: stream-python\nVersion: 5.4.0\n",
    "stream_python-5.4.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "stream_python-5.4.0.dist-info/RECORD": "stream/__init__.py,,\nstream_python-5.4.0.dist-info/METADATA,,\n"
    "stream_python-5.4.0.dist-info/WHEEL,,\nstream_python-5.4.0.dist-info/RECORD,,\n",
}


def run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def source_files() -> list[str]:
    """The files of this checkout that git knows or would add; links are listed as links."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    return [name for name in listed if (ROOT / name).is_symlink() or (ROOT / name).is_file()]


def build(kind: str, tree: Path, out: Path) -> Path:
    run(sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, tree)
    return next(out.iterdir())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout: building leaves folders behind, and must not find old ones."""
    folder = tmp_path_factory.mktemp("tree")
    for name in source_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tree: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tree, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a distribution whose package is `stream`."""
    folder = tmp_path_factory.mktemp("other")
    download = ("download", "--quiet", "--no-deps", "--retries", "0", "--timeout", "10", "--dest", folder, OTHER)
    subprocess.run([sys.executable, "-m", "pip", *map(str, download)], capture_output=True, timeout=120)
    if not any(folder.iterdir()):
        with zipfile.ZipFile(folder / "stream_python-5.4.0-py3-none-any.whl", "w") as archive:
            for name, text in STAND_IN.items():
                archive.writestr(name, text)
    return next(folder.iterdir())


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def test_wheel_holds_merau_and_nothing_else(wheel):
    names = [name for name in contents(wheel) if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in contents(wheel)} == {"merau", f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}
    in_rooms = {f"merau/{name}" for name in source_files() if name.split("/")[0] in ROOMS}
    in_merau = {name for name in source_files() if name.startswith("merau/") and not (ROOT / name).is_symlink()}
    assert set(names) == in_rooms | in_merau
    for suffix in (".tflite", ".onnx", ".safetensors", ".css", ".js", ".cu", ".mp4", ".yaml", "py.typed"):
        assert any(name.endswith(suffix) for name in names), suffix


def test_wheel_from_sdist_is_the_wheel_from_the_tree(wheel, sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        assert not any(member.issym() or member.islnk() for member in archive)
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = contents(build("wheel", unpacked, tmp_path / "again"))
    first = contents(wheel)
    assert again.keys() == first.keys()
    assert [name for name in first if not name.endswith("/RECORD") and first[name] != again[name]] == []


def test_wheel_leaves_another_stream_package_intact(wheel, other, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", python)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    run(*pip, "install", "--no-deps", "--no-index", other)
    before = {path: path.read_bytes() for path in (packages / "stream").rglob("*.py")}
    run(*pip, "install", "--no-deps", "--no-index", wheel)
    libraries = sysconfig.get_path("purelib")  # numpy and the like, after the venv's own packages
    code = f"""
import sys
sys.path.append({libraries!r})
import stream, merau
from merau.stream import events
print(stream.connect.__module__, merau.__version__, len(merau.__all__))
print(merau.__file__)
print(merau.Recognizer.load(device="cpu").bundle.name, events.__file__)
"""
    first, second, third = run(python, "-I", "-c", code, cwd=tmp_path).splitlines()
    assert first.split()[:2] == ["stream", wheel.name.split("-")[1]]
    assert second == str(packages / "merau" / "__init__.py")
    assert third == f"merau-default {packages / 'merau' / 'stream' / 'events.py'}"
    assert (tmp_path / "venv" / "bin" / "merau").exists()
    run(*pip, "uninstall", "--yes", "merau-live")
    assert not (packages / "merau").exists()
    assert {path: path.read_bytes() for path in (packages / "stream").rglob("*.py")} == before
    assert run(python, "-I", "-c", "import stream; print(callable(stream.connect))", cwd=tmp_path) == "True"
