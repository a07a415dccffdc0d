"""What has run is kept: after a stop the same command goes on, and only with what is still missing."""

import json

import pytest

from merau.trainers.cli import main
from merau.trainers.evaluate import leaderboard

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


def test_a_stopped_leaderboard_goes_on_with_what_is_missing(index, tmp_path, capsys, ran):
    (ran, stops), out, page = ran, tmp_path / "new" / "board.json", tmp_path / "board.html"
    arguments = ["leaderboard", "--flows", str(index), "--protocols", "lodo", "--json", str(out)]
    assert main([*arguments, "--models", *MODELS]) == 130
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("1 of 3: MERAU (CD), cosine head alone, lodo: UF1 0.")
    assert len(told) == 3
    assert told[-1] == f"Stopped: 2 of 3 runs are in {out}, and the same command goes on from there."
    assert ran == ["merau-cd", "logistic", "liu"]  # the quick ones first
    assert [each["model"] for each in json.loads(out.read_text())] == ["merau-cd", "logistic"]

    ran.clear(), stops.clear()
    assert main([*arguments, "--models", *MODELS[:1], "vgg", *MODELS[2:], "--report", str(page)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert ran == ["vgg"]
    assert [line[2:7] for line in table[2:5]] == ["MERAU", "VGG o", "logis"]
    assert "VGG on the apex frame, lodo: vgg looks at frames" in page.read_text()

    assert main([*arguments, "--models", "merau-cd", "--protocols", "lodo", "few-shot", "--draws", "2"]) == 0
    assert ran[1:] == ["merau-cd"] * 2  # other draws are another run
    assert len(json.loads(out.read_text())) == 4  # what was not asked for this time stays


def test_runs_of_another_set_are_never_overwritten(index, tmp_path, capsys):
    out = tmp_path / "board.json"
    shorter = index.with_name("shorter.csv")
    shorter.write_text("\n".join(index.read_text().splitlines()[:-1]))
    arguments = ["leaderboard", "--models", "logistic", "--protocols", "lodo", "--json", str(out), "--flows"]
    assert main([*arguments, str(index)]) == 0
    before = out.read_text()
    capsys.readouterr()
    assert main([*arguments, str(shorter)]) == 1
    assert capsys.readouterr().err == f"{out} is the leaderboard of another set: choose another file for --json.\n"
    assert out.read_text() == before
    out.write_text("{}]")
    assert main([*arguments, str(index)]) == 1
    assert "is no leaderboard" in capsys.readouterr().err
