"""The walls of the house: engine <- calib <- {stream, trainers}, and no torch on the live side."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

HOUSE = Path(__file__).parents[1]
MAY_IMPORT = {
    "engine": {"engine"},
    "calib": {"calib", "engine"},
    "stream": {"stream", "calib", "engine"},
    "trainers": {"trainers", "calib", "engine"},
}


def imported(file: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide the room"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_they_may(room):
    files = sorted((HOUSE / room).rglob("*.py"))
    assert files
    for file in files:
        rooms = imported(file) & MAY_IMPORT.keys()
        assert rooms <= MAY_IMPORT[room], f"{file} imports {rooms - MAY_IMPORT[room]}"


@pytest.mark.parametrize("room", ["engine", "calib", "stream"])
def test_torch_stays_with_the_trainers(room):
    for file in (HOUSE / room).rglob("*.py"):
        assert not imported(file) & {"torch", "torchvision", "onnxscript"}, file


WATCH = """
import json, sys
from stream.cli import main
code = main(["watch", sys.argv[1], "--store", sys.argv[2], "--json"])
print(json.dumps([code, sorted({name.split(".")[0] for name in sys.modules})]))
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
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=120)
    code, loaded = json.loads(done.stdout)
    assert code == 0, done.stderr
    assert {"stream", "engine", "calib", "onnxruntime"} <= set(loaded)
    assert not {"torch", "trainers"} & set(loaded)
