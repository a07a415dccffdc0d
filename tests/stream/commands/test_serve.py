import json
import os
import signal
import urllib.parse
from pathlib import Path

from merau.stream.cli import main
from merau.stream.demo import CLIP
from merau.stream.store import read_events, read_sessions
from scripts.support.rtsp_server import RtspServer
from tests.stream.commands.process import start_merau

PASSWORD = "se:cr@et"
CONFIG = """\
store: {store}
defaults:
  purpose: a test
cameras:
  - name: Door
    group: Entrance
    source: rtsp://ann@127.0.0.1:{door}/cam
    password: ${{DOOR_PASSWORD}}
  - name: Hall
    transport: tcp
    source: rtsp://127.0.0.1:{hall}/cam
  - name: Film
    source: {clip}
"""


def test_serve_reloads_one_camera_and_keeps_the_other(tmp_path):
    store, file = tmp_path / "events.db", tmp_path / "cameras.yaml"
    environment = os.environ | {"DOOR_PASSWORD": PASSWORD}
    with RtspServer(user="ann", password=PASSWORD) as door, RtspServer() as hall:
        text = CONFIG.format(store=store, door=door.port, hall=hall.port, clip=CLIP)
        file.write_text(text)
        process = start_merau("serve", file, "--json", env=environment)
        log = await_lines(process.stderr, "Door: live", "Hall: live", "Film: live")
        first = json.loads(process.stdout.readline())
        file.write_text(text.replace("transport: tcp", "transport: udp"))
        process.send_signal(signal.SIGHUP)
        log += await_lines(process.stderr, "Read ", "Hall: connecting", "Hall: live")
        file.write_text(text.replace("transport", "transprt"))
        process.send_signal(signal.SIGHUP)
        log += await_lines(process.stderr, "line 10: cameras.1.transprt: there is no such setting")
        listed = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    sessions = read_sessions(store)
    assert sorted(session.name for session in sessions) == ["Door", "Film", "Hall", "Hall"]
    assert all(session.ended for session in sessions)
    (door_session,) = (session for session in sessions if session.name == "Door")
    assert (door_session.gaps, door_session.purpose) == ([], "a test")
    assert door_session.frames > 60
    assert (first["camera"], first["group"]) == ("Film", "")
    told = {event["id"] for event in (first, *map(json.loads, out.splitlines()))}
    assert told == {event.id for event in read_events(store, first["session"])}
    for secret in (PASSWORD, urllib.parse.quote(PASSWORD, safe="")):
        assert secret not in log + out + err
        assert secret.encode() not in listed + store.read_bytes()


def test_serve_refuses_a_bad_configuration(tmp_path, capsys):
    file = tmp_path / "cameras.yaml"
    file.write_text("cameras:\n  - name: Door\n    source: 0\n")
    assert main(["serve", str(file)]) == 1
    assert "'Door' needs a `purpose`" in capsys.readouterr().err
    assert not (tmp_path / "merau.db").exists()


def await_lines(stream, *texts: str) -> str:
    """Read on until each of the texts was seen, in any order."""
    read, missing = "", set(texts)
    while missing:
        line = stream.readline()
        assert line, f"ended without {missing}: {read}"
        read += line
        missing = {text for text in missing if text not in line}
    return read


def test_cluster_serves_no_page(tmp_path, capsys):
    file = tmp_path / "cameras.yaml"
    file.write_text("page: {port: 0}\n")
    assert main(["serve", str(file), "--ray", "auto"]) == 1
    assert "With --ray no page is served" in capsys.readouterr().err
