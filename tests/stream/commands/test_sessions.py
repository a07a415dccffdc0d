import json
import subprocess
from pathlib import Path

import pytest

from merau.stream.cli import main
from merau.stream.events import Coding
from merau.stream.store import Store, read_codings, read_events, read_sessions
from tests.stream.commands.process import command, messages

SESSION = {"settings": {}, "bundle": "default", "bundle_sha256": "ab"}


@pytest.fixture
def store(tmp_path, make_event, monkeypatch) -> Path:
    """The default store of a folder, with two sessions; one is coded."""
    monkeypatch.chdir(tmp_path)
    path = Path("merau.db")
    with Store(path) as opened:
        for name in ("interviews/P01.mp4", "rtsp://host/cam"):
            session = opened.start_session(name, **SESSION)
            opened.put(session, make_event(1.0, id="1-1"))
            opened.put_coding(Coding(session, "1-1", "anna", label="smirk"), make_event())
            opened.update_session(session, wall_zero=None, frames=9, dropped=0, gaps=[], ended=True)
    return path


def test_sessions_are_listed_by_name(store, capsys):
    assert main(["sessions", "--rename", "2", "Front door"]) == 0
    assert capsys.readouterr().out == "Session 2 is 'Front door'.\n"
    assert main(["sessions"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("   1  ")
    assert first.endswith(" UTC · interviews/P01.mp4 · 1 micro · 1 coding by anna")
    assert " · Front door · " in second
    assert main(["sessions", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(s["source"], s["name"], s["events"]) for s in listed][1] == ("rtsp://host/cam", "Front door", {"micro": 1})


def test_deleting_asks_and_takes_everything(store, capsys):
    done = subprocess.run(command("sessions", "--delete", "1"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert messages(done.stderr)[-1] == "merau: Deleting cannot be undone: add --yes to confirm."
    assert main(["sessions", "--delete", "3", "--yes"]) == 1
    assert len(read_sessions(store)) == 2
    assert main(["sessions", "--delete", "1", "--yes"]) == 0
    assert [session.id for session in read_sessions(store)] == [2]
    assert {event.session for event in read_events(store)} == {2}
    assert {coding.session for coding in read_codings(store)} == {2}


def test_every_session_is_exported_into_a_folder(store, capsys):
    assert main(["export", "--session", "all", "--format", "eaf", "--out", "out"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["P01-1.eaf", "cam-2.eaf"]
    capsys.readouterr()
    assert main(["export", "--session", "all", "--format", "eaf", "--out", "out"]) == 1
    assert "out/P01-1.eaf exists already" in capsys.readouterr().err


def test_import_adds_codings_and_into_adds_tiers(store, capsys):
    Path("hers.csv").write_text("onset_s,offset_s,label\n0.84,1.2,frown\n5,5.3,\n")
    assert main(["import", "hers.csv", "--session", "1", "--coder", "ben"]) == 0
    text = "2 codings added to session 1 of merau.db, 1 of them of events that the machine missed.\n"
    assert capsys.readouterr().out == text
    by_ben = read_codings(store, 1, "ben")
    assert [(coding.event == "1-1", coding.label, coding.is_missed) for coding in by_ben] == [
        (True, "frown", False),
        (False, None, True),
    ]
    assert main(["export", "--session", "2", "--format", "eaf", "--out", "hers.eaf"]) == 0
    assert main(["export", "--session", "1", "--labels", "only", "--coder", "ben", "--into", "hers.eaf"]) == 0
    assert "face 1 micro · ben" in Path("hers.eaf").read_text()
    assert main(["import", "hers.csv", "--coder", "ben"]) == 1
    assert "choose that of hers.csv by --session from 1 (interviews/P01.mp4)" in capsys.readouterr().err
