"""`merau ui` from the command line."""

import json
import signal
import subprocess
import sys
from urllib.request import ProxyHandler, build_opener

import pytest

from merau.stream.cli import main

UI = [sys.executable, "-m", "merau", "ui", "--json"]


def test_ui_serves_until_ctrl_c(tmp_path):
    command = [*UI, "--port", "0", "--store", str(tmp_path / "page.db")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = json.loads(process.stdout.readline())["address"]
    with build_opener(ProxyHandler({})).open(address, timeout=20) as answer:
        assert "merau-live" in answer.read().decode()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["/nowhere/clip.mp4"], "There is no file"),
        (["0", "--host", "0.0.0.0"], "set --auth USER:FILE"),
        (["0", "--share"], "set --auth USER:FILE"),
        (["--auth", "anna:/nowhere/password"], "The password file /nowhere/password cannot be read"),
        (["--retention", "0"], "choose more than 0"),
    ],
)
def test_ui_that_cannot_serve_prints_one_error(arguments, reason, tmp_path, capsys):
    assert main(["ui", *arguments, "--port", "0", "--store", str(tmp_path / "page.db")]) == 1
    assert reason in capsys.readouterr().err.splitlines()[-1]
