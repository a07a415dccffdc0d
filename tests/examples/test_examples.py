"""Every program of examples/ runs, on the start of the demo clip."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas
import pytest
from nbclient import NotebookClient

from tests.clips import demo_start

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TESTED = {
    "analyse_file.py",
    "live_camera.py",
    "own_recognizer.py",
    "plots.ipynb",
    "read_store.py",
    "teach_class.py",
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A blink and two micro-expressions."""
    return demo_start(tmp_path_factory.mktemp("clip") / "start.mp4", 6.5)


def run(*command: object) -> list[str]:
    """Run Python with `command`; returns the lines it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_example_is_tested():
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")} == TESTED
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 70, path.name


def test_analyse_file_prints_and_saves_events(clip, tmp_path):
    lines = run(EXAMPLES / "analyse_file.py", clip, tmp_path / "events.csv")
    assert [line.split()[2] for line in lines] == ["blink", "micro", "micro"]
    table = pandas.read_csv(tmp_path / "events.csv")
    assert table["kind"].tolist() == ["blink", "micro", "micro"]


def test_live_camera_prints_provisional_then_final(clip):
    states = [line.split("(")[1].rstrip(")") for line in run(EXAMPLES / "live_camera.py", clip)]
    assert states[0] == "provisional"
    assert states.count("final") == 2


def test_teach_class_classifies_with_the_new_classes(clip):
    explanation, *lines = run(EXAMPLES / "teach_class.py", clip, "3.4=raised brows", "5.5=lowered brows")
    assert "2 " in explanation
    assert [line.split(": ")[1].split(" (")[0] for line in lines] == ["raised brows", "lowered brows"]


def test_read_store_counts_expressions(clip, tmp_path):
    run("-m", "merau.stream.cli", "analyse", clip, "--out", tmp_path, "--json")
    first, *table = run(EXAMPLES / "read_store.py", tmp_path / "merau.db")
    assert first == "3 events, 2 expressions"
    assert any("micro" in line and line.endswith("1") for line in table)


def test_own_recognizer_packs_and_runs_a_bundle(clip, tmp_path):
    lines = run(EXAMPLES / "own_recognizer.py", tmp_path / "halves", clip)
    assert (tmp_path / "halves" / "model.json").exists()
    assert len(lines) == 2
    assert all("upper face" in line or "lower face" in line for line in lines)


def test_plots_notebook_runs_and_draws(clip, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(EXAMPLES / "plots.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit the notebook without its outputs"
    first = next(cell for cell in notebook.cells if "RECORDING = " in cell.source)
    first.source += f"\nRECORDING = {str(clip)!r}"
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    assert sum("image/png" in data for data in shown) == 3
    assert any("text/html" in data for data in shown)


def test_interviews_are_studied_from_end_to_end(tmp_path):
    folder = tmp_path / "interviews"
    run(EXAMPLES / "interviews/make_recordings.py", folder, "--seconds", 5, "--people", 1)
    assert {path.relative_to(folder).as_posix() for path in folder.glob("P*/*")} == {
        *("P01/rest.mkv", "P01/stress.mov", "P02/rest.mp4", "P02/stress.mp4")
    }
    lines = run(EXAMPLES / "interviews/study.py", folder, "--jobs", 1)
    assert any(line.startswith("4 recordings: 3 analysed, 1 failed.") for line in lines)
    rest, stress = lines[-2:]
    assert rest == "P01 rest: 0 of 0"
    found, shown = re.fullmatch(r"P01 stress: (\d+) of (\d+)", stress).groups()
    truth = pandas.read_csv(folder / "truth.csv")
    assert int(shown) == ((truth["kind"] == "micro") & truth["recording"].str.startswith("P01/stress")).sum()
    assert 1 <= int(found) <= int(shown)
