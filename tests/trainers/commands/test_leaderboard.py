"""`merau-lab leaderboard`: its table, and that finished runs are kept."""

import json

import pytest

from merau.trainers.cli import main
from merau.trainers.evaluate import leaderboard, run

MODELS = ("merau-cd", "liu", "logistic")


@pytest.fixture
def ran(monkeypatch):
    """The models in the order in which they run; Liu's recognizer is stopped by Ctrl-C as long as `stops` holds it."""
    ran, run_on = [], leaderboard.run_on
    ran_and_stops = ran, ["liu"]

    def run_noted(task, answers, recognizer, settings, **how):
        ran.append(settings.model)
        if settings.model in ran_and_stops[1]:
            raise KeyboardInterrupt
        return run_on(task, answers, recognizer, settings, **how)

    monkeypatch.setattr(leaderboard, "run_on", run_noted)
    return ran_and_stops


def test_leaderboard_interrupted_continues_with_missing_runs(index, tmp_path, capsys, ran):
    (ran, stops), out, page = ran, tmp_path / "new" / "board.json", tmp_path / "board.html"
    arguments = ["leaderboard", "--flows", str(index), "--protocols", "lodo", "--json", str(out)]
    assert main([*arguments, "--models", *MODELS]) == 130
    printed = capsys.readouterr().err.splitlines()
    assert printed[0].startswith("1 of 3: MERAU (CD), cosine head alone, lodo: UF1 0.")
    assert len(printed) == 3
    assert printed[-1] == f"merau-lab: Stopped: 2 of 3 runs are in {out}; the same command continues from there."
    assert ran == ["merau-cd", "logistic", "liu"]  # the quick ones first
    assert [each["model"] for each in json.loads(out.read_text())] == ["merau-cd", "logistic"]

    ran.clear(), stops.clear()
    assert main([*arguments, "--models", *MODELS[:1], "vgg", *MODELS[2:], "--report", str(page)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert ran == ["vgg"]
    assert [line[2:7] for line in table[2:5]] == ["MERAU", "VGG o", "logis"]
    assert "VGG on the apex frame, lodo: vgg needs frames" in page.read_text()

    assert main([*arguments, "--models", "merau-cd", "--protocols", "lodo", "few-shot", "--draws", "2"]) == 0
    assert ran[1:] == ["merau-cd"] * 2  # other draws are another run
    assert len(json.loads(out.read_text())) == 4  # what was not asked for this time stays


def test_leaderboard_of_another_set_is_not_overwritten(index, tmp_path, capsys):
    out = tmp_path / "board.json"
    shorter = index.with_name("shorter.csv")
    shorter.write_text("\n".join(index.read_text().splitlines()[:-1]))
    arguments = ["leaderboard", "--models", "logistic", "--protocols", "lodo", "--json", str(out), "--flows"]
    assert main([*arguments, str(index)]) == 0
    before = out.read_text()
    capsys.readouterr()
    assert main([*arguments, str(shorter)]) == 1
    assert (
        capsys.readouterr().err
        == f"merau-lab: {out} is the leaderboard of another set: choose another file for --json.\n"
    )
    assert out.read_text() == before
    out.write_text("{}]")
    assert main([*arguments, str(index)]) == 1
    assert "is not a leaderboard" in capsys.readouterr().err


def test_leaderboard_has_row_per_model_and_skip_reasons(frames_index, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "SYNTHETIC_SAMPLES", 300)
    out, page = tmp_path / "board.json", tmp_path / "board.html"
    arguments = ["leaderboard", "--flows", str(frames_index), "--json", str(out), "--report", str(page), "--draws", "2"]
    assert main([*arguments, "--models", "merau", "protonet", "logistic", "--protocols", "zero-shot", "few-shot"]) == 0
    table = capsys.readouterr().out
    assert table.startswith("| model | zero-shot | few-shot |")
    assert "| ProtoNet on MERAU's embedding | - | " in table
    assert [d["model"] for d in json.loads(out.read_text())] == ["merau"] * 2 + ["protonet"] * 2 + ["logistic"] * 2
    assert "ProtoNet" in page.read_text()
    assert main(["leaderboard", "--flows", str(frames_index), "--models", "none"]) == 1


def test_leaderboard_has_column_per_task(frames_index, capsys):
    arguments = [
        "leaderboard",
        "--flows",
        str(frames_index),
        "--models",
        "protonet",
        "--draws",
        "2",
        "--tasks",
        "cde",
        "hard",
    ]
    assert main([*arguments, "--protocols", "few-shot"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("| model | few-shot, cde | few-shot, hard |")
    assert "few-shot, hard: Task hard needs" in printed
