"""`merau ui` from the command line."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from urllib.request import ProxyHandler, build_opener

import pytest

from merau.stream.cli import main
from merau.stream.store import Store, read_events, read_sessions
from tests.stream.ui.waiting import wait_for

UI = [sys.executable, "-m", "merau", "ui", "--json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ui_serves_until_stopped_and_leaves_nothing(tmp_path, number):
    command = [*UI, "--port", "0", "--store", str(tmp_path / "page.db")]
    (temporary := tmp_path / "tmp").mkdir()
    environment = os.environ | {"TMPDIR": str(temporary)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    address = json.loads(process.stdout.readline())["address"]
    with build_opener(ProxyHandler({})).open(address, timeout=20) as answer:
        assert "merau-live" in answer.read().decode()
    assert list(temporary.glob("merau-live-*"))
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not list(temporary.glob("merau-live-*"))


def test_ui_deletes_only_what_it_recorded_and_says_so(tmp_path, make_event):
    path = tmp_path / "page.db"
    with Store(path) as store:
        for retention_h in (None, 24):  # as `merau analyse` stores a session, and as the page does
            number = store.start_session("a", settings={}, bundle="b", bundle_sha256="s", retention_h=retention_h)
            store.put(number, make_event())
    with sqlite3.connect(path) as connection:
        long_ago = "2020-01-01T00:00:00+00:00"
        connection.execute("UPDATE sessions SET started = ?, ended = ?, recorded = ?", [long_ago] * 3)
        connection.execute("UPDATE events SET onset_wall = NULL, recorded = ?", [long_ago])
    command = [*UI, "--port", "0", "--store", str(path), "--retention", "12"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(read_sessions(path)) == 1, "deletion")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert [session.retention_h for session in read_sessions(path)] == [None]
    assert len(list(read_events(path))) == 1
    assert "What this page records is deleted 12 h later" in errors
    assert "holds 1 session without a retention: they stay" in errors
    assert "holds 1 earlier session of this page: deletion begins now" in errors


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["/nowhere/clip.mp4"], "There is no file"),
        (["0", "--host", "0.0.0.0"], "set --auth USER:FILE"),
        (["0", "--share"], "set --auth USER:FILE"),
        (["--auth", "anna:/nowhere/password"], "The password file /nowhere/password cannot be read"),
        (["--retention", "0"], "choose more than 0"),
        (["--host", "192.0.2.1"], "--host 192.0.2.1 is no address of this machine"),
        (["--host", "a..b"], "--host 'a..b' is neither an address nor a known name"),
        (["--precision", "fp8", "--device", "cpu"], "Precision fp8 needs a GPU"),
        (["--store", ":memory:"], "':memory:' is no file"),
    ],
)
def test_ui_that_cannot_serve_prints_one_error(arguments, reason, tmp_path, capsys):
    assert main(["ui", "--port", "0", "--store", str(tmp_path / "page.db"), *arguments]) == 1
    assert reason in capsys.readouterr().err.splitlines()[-1]


def test_ui_whose_port_is_in_use_analyses_nothing(clip, tmp_path, capsys):
    store = tmp_path / "page.db"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["ui", str(clip), "--purpose", "test", "--port", str(port), "--store", str(store)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"merau: The port {port} is in use")
    assert not store.exists()
