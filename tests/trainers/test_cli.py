"""The command line of merau-lab: help, version, exit codes and error messages."""

from importlib.metadata import version

import pytest

from merau.trainers.cli import main


@pytest.mark.parametrize("arguments", [[], ["synth"]])
def test_main_without_command_prints_help(arguments, capsys):
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("usage: merau-lab")


def test_main_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"merau-lab {version('merau-live')}\n"


def test_main_user_error_is_one_line(capsys, tmp_path):
    assert main(["train", "--out", str(tmp_path), "--samples", "0"]) == 1
    assert main(["evaluate", "--bundle", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "merau-lab: FlowTraining.samples is 0: choose 1 or more.",
        f"merau-lab: There is no bundle at {tmp_path / 'none'}: choose default, source, or the path of a "
        "folder or zip.",
    ]


@pytest.mark.parametrize(
    "command", ["prepare", "train", "predict", "evaluate", "leaderboard", "quantize", "build", "synth clips"]
)
def test_help_says_default_of_each_option(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    assert "default:" in capsys.readouterr().out


def test_unknown_option_shows_the_usage_of_its_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["synth", "clips", "--colour", "blue", "--out", "x"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("usage: merau-lab synth clips ")
