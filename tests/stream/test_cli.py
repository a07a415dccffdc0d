"""What all commands have in common: help, version, errors and exit codes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from merau.stream.cli import COMMANDS, main, make_parser
from merau.stream.demo import CLIP
from tests.stream.commands.process import messages


def test_bare_command_prints_help(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: merau ")
    assert all(
        re.search(rf"^    {name.__name__.split('.')[-1].removesuffix('_codings')} ", printed, re.MULTILINE)
        for name in COMMANDS
    )


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"merau \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_help_of_every_option_is_a_phrase_with_default():
    (commands,) = (action for action in make_parser()._actions if action.dest == "==SUPPRESS==" or action.choices)
    for name, parser in commands.choices.items():
        for action in parser._actions:
            assert action.help, (name, action.dest)
            assert not action.help.startswith(("of ", "until ", "whose ")), (name, action.dest)
            assert not re.search(r" \((?!default:)[^)]*%\(default\)", action.help), (name, action.dest)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from merau.stream.cli import make_parser; make_parser().format_help(); "
        "print({'av', 'cv2', 'gradio', 'numba', 'onnxruntime', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("watch gone.mp4", "There is no file 'gone.mp4'."),
        ("watch 99", "There is no camera /dev/video99"),
        ("watch http://x/y", "is not a source"),
        (f"watch {CLIP} --store nowhere/x.db", "nowhere/x.db cannot be opened"),
        (f"watch {CLIP} --faces none", "Unknown face detector 'none'"),
        ("analyse gone.mp4 --store x.db --json", "There is no file 'gone.mp4'."),
        ("analyse a-file --store x.db --json", "a-file' is not a video"),
        ("analyse x.mp4 --bundle gone", "There is no bundle at gone: choose default, source, or"),
        ("analyse x.mp4 --device cuda", "No GPU can be used: "),
        ("analyse x.mp4 --out a-file", "The folder a-file cannot be made"),
        ("export gone.db", "There is no store at gone.db."),
        ("export a-folder", "a-folder is a folder: give the store in it, such as a-folder/merau.db."),
        ("adapt a-clip.mp4 --out x", "a-clip.mp4 is neither a CSV nor a store."),
        ("doctor --bundle a-file", "a-file is not a recognizer bundle"),
    ],
)
def test_wrong_input_prints_one_error(arguments, error, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    Path("a-folder").mkdir()
    Path("a-clip.mp4").write_bytes(b"no store")
    assert main(arguments.split()) == 1
    out, err = capsys.readouterr()
    (printed,) = messages(err)
    assert printed.startswith("merau: ")
    assert error in printed
    assert out == ""
    assert not list(tmp_path.rglob("*.db"))


@pytest.mark.parametrize("option", ["--rate", "--captured-rate"])
@pytest.mark.parametrize("value", ["-3", "0", "nan", "fast"])
def test_wrong_frame_rate_names_the_option(option, value, capsys):
    with pytest.raises(SystemExit):
        main(["analyse", "x.mp4", option, value])
    assert f"argument {option}: '{value}' is no frame rate: choose 0.01 to 100000" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["look"], ["watch"], ["export", "x.db", "--format", "xls"]])
def test_invalid_command_line_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: merau" in capsys.readouterr().err


def test_unknown_option_shows_the_usage_of_its_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["analyse", "interview.mp4", "--heads", "x"])
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert errors.startswith("usage: merau analyse ")
    assert errors.endswith("merau analyse: error: unrecognized arguments: --heads x\n")
