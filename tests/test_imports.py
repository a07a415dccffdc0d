"""The import rules: engine <- calib <- {stream, trainers}, one import name, and no torch on the live side."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "engine": {"engine"},
    "calib": {"calib", "engine"},
    "stream": {"stream", "calib", "engine"},
    "trainers": {"trainers", "calib", "engine"},
}


def imported(file: Path) -> set[str]:
    """The dotted names of the modules that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import hides the room"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def packages(file: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.split(".")[0] for name in imported(file)}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_they_may(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        rooms = {name.split(".")[1] for name in imported(file) if name.startswith("merau.")}
        assert rooms <= MAY_IMPORT[room], f"{file} imports {rooms - MAY_IMPORT[room]}"


def test_rooms_are_imported_as_merau():
    tree = [file for folder in (*MAY_IMPORT, "tests", "scripts", "examples") for file in (ROOT / folder).rglob("*.py")]
    for file in tree:
        assert not packages(file) & MAY_IMPORT.keys(), f"{file} imports a room without merau"


@pytest.mark.parametrize("room", ["engine", "calib", "stream"])
def test_torch_stays_with_the_trainers(room):
    for file in (ROOT / room).rglob("*.py"):
        assert not packages(file) & {"torch", "torchvision", "onnxscript"}, file


WATCH = """
import json, sys
from merau.stream.cli import main
code = main(["watch", sys.argv[1], "--store", sys.argv[2], "--json"])
print(json.dumps([code, sorted({name for name in sys.modules})]))
"""


def test_watch_loads_no_torch(tmp_path):
    clip = tmp_path / "grey.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for level in range(100, 110):
            frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), level, np.uint8), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    command = [sys.executable, "-c", WATCH, clip, tmp_path / "events.db"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    code, loaded = json.loads(done.stdout)
    assert code == 0, done.stderr
    assert {"merau.stream", "merau.engine", "onnxruntime"} <= set(loaded)
    assert not {"torch", "merau.trainers"} & set(loaded)
