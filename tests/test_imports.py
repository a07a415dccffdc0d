"""The import rules: engine <- calib <- stream <- trainers, one import name, and no torch on the live side."""

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
    "trainers": {"trainers", "stream", "calib", "engine"},
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


def import_graph() -> dict[str, set[str]]:
    """The modules of all rooms, each with the modules that it imports anywhere in its file."""
    files = {module(file): file for room in MAY_IMPORT for file in (ROOT / room).rglob("*.py")}

    def known(name: str) -> str:
        """The module that an imported name is, or is defined in."""
        return name if name in files else name.rpartition(".")[0]

    return {name: {known(other) for other in imported(file)} & files.keys() - {name} for name, file in files.items()}


def module(file: Path) -> str:
    """The dotted name of a room's file."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(("merau", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def test_imports_have_no_circle():
    graph = import_graph()
    assert "merau.engine.recognizer" in graph["merau.stream.pipeline"]
    while leaves := {name for name, others in graph.items() if not others & graph.keys()}:
        graph = {name: others for name, others in graph.items() if name not in leaves}
    assert not graph, f"these modules import each other: {sorted(graph)}"


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


def test_scripts_and_examples_do_not_import_tests():
    for file in (file for folder in ("scripts", "examples") for file in (ROOT / folder).rglob("*.py")):
        assert "tests" not in packages(file), file
