import csv
import json
import locale
import os
import subprocess
from pathlib import Path

import pytest

from merau.stream.cli import main
from merau.stream.commands.export import FORMATS
from merau.stream.export import FORMATS as WRITERS
from merau.stream.store import FaceTime, Store, read_sessions
from tests.stream.commands.process import command, messages


@pytest.fixture
def store(tmp_path, make_event) -> Path:
    path = tmp_path / "two.db"
    with Store(path) as store:
        for track in (1, 2):
            session = store.start_session(f"camera {track}", settings={}, bundle="default", bundle_sha256="ab")
            for n in range(2000):
                store.put(session, make_event(float(n), track=track, id=str(n)))
    return path


def test_export_offers_every_format():
    assert tuple(WRITERS) == FORMATS


def test_export_writes_the_same_to_file_and_output(store, tmp_path, capfdbinary):
    second = ["export", str(store), "--format", "jsonl", "--session", "2"]
    assert main(second) == 0
    printed = capfdbinary.readouterr().out
    assert main([*second, "--out", str(tmp_path / "two.jsonl")]) == 0
    assert (tmp_path / "two.jsonl").read_bytes() == printed
    assert {json.loads(line)["track"] for line in printed.splitlines()} == {2}
    assert capfdbinary.readouterr().out == f"2000 events written to {tmp_path / 'two.jsonl'}.\n".encode()


def test_export_without_session_writes_all(store, capfdbinary):
    assert main(["export", str(store), "--format", "csv"]) == 0
    assert capfdbinary.readouterr().out.count(b"\n") == 1 + 4000


def test_export_json_has_sessions_with_events(store, capsys):
    assert main(["export", str(store), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["sessions"]
    assert (first["source"], len(first["events"]), second["events"][0]["track"]) == ("camera 1", 2000, 2)


def test_export_for_one_recording_needs_a_session(store, capsys):
    assert main(["export", str(store), "--format", "eaf"]) == 1
    assert "choose one by --session, or 'all' to write a file for each: 1 (camera 1, " in capsys.readouterr().err
    assert main(["export", str(store), "--session", "3"]) == 1
    assert "There is no session 3" in capsys.readouterr().err


def test_parquet_is_not_written_to_a_terminal(store):
    ours, terminal = os.openpty()
    arguments = command("export", store, "--format", "parquet")
    done = subprocess.run(arguments, stdout=terminal, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(terminal)
    os.close(ours)
    assert done.returncode == 1
    assert messages(done.stderr) == ["merau: Parquet is binary and no text for a terminal: name a file by --out."]


def test_export_to_a_closed_pipe_ends_quietly(store):
    arguments = command("export", store, "--format", "jsonl")
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert json.loads(process.stdout.readline())["id"] == "0"
    process.stdout.close()
    assert (process.wait(timeout=30), process.stderr.read()) == (0, b"")


def test_export_names_participants_and_writes_for_excel(tmp_path, make_event, capfdbinary, monkeypatch):
    path = tmp_path / "study.db"
    with Store(path) as store:
        session = store.start_session("/data/P1/rest.mp4", settings={}, bundle="default", bundle_sha256="ab")
        store.put(session, make_event(1.5))
        store.put_face(session, FaceTime(1, 0.0, 60.0, 60.0, 30.5))
    monkeypatch.setattr(locale, "localeconv", lambda: {"decimal_point": ","})  # as Germans have it
    assert main(["export", str(path), "--pattern", "{participant}/{condition}", "--excel"]) == 0
    printed = capfdbinary.readouterr().out
    assert printed.startswith(b"\xef\xbb\xbfid;")
    (row,) = csv.DictReader(printed.decode("utf-8-sig").splitlines(), delimiter=";")
    assert (row["participant"], row["analysed_s"], row["apex_s"]) == ("P1", "30,5", "1,5")
    assert row["run"] == read_sessions(path)[0].run
    assert not [name for name in row if " " in name]
