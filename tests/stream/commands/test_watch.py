import io
import json
import os
import re
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import av
import pytest

from merau.stream.cli import main
from merau.stream.commands import options
from merau.stream.demo import CLIP
from merau.stream.store import read_clip, read_events, read_sessions
from scripts.support.rtsp_server import RtspServer
from tests.clips import demo_start
from tests.stream.commands.process import messages, start_merau


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_saves_everything_when_a_signal_ends_it(tmp_path, number):
    store = tmp_path / "events.db"
    process = start_merau("watch", CLIP, "--store", store, "--json")
    first = json.loads(process.stdout.readline())
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    ended = rf"Ended: stopped\. \d+ frames, 0 dropped, 0 gaps\. Events saved to {store}: .*1 .*\.$"
    assert re.match(ended, messages(err)[-1])
    printed = {first["id"]: first} | {event["id"]: event for event in map(json.loads, out.splitlines())}
    assert sorted(printed) == sorted(event.id for event in read_events(store))
    assert read_sessions(store)[0].ended


def test_watch_keeps_clips_with_a_roll(tmp_path):
    store = tmp_path / "events.db"
    clip = demo_start(tmp_path / "clip.mp4", 5.0)
    assert main(["watch", str(clip), "--store", str(store), "--clips", "--pre-roll", "1", "--post-roll", "0.2"]) == 0
    found = [(event, mp4) for event in read_events(store) if (mp4 := read_clip(store, 1, event.id))]
    assert found
    for event, mp4 in found:
        with av.open(io.BytesIO(mp4)) as film:
            shown_s = film.duration / av.time_base
        assert shown_s == pytest.approx(min(event.onset_s, 1.0) + event.offset_s - event.onset_s + 0.2, abs=0.15)


def test_watch_waits_for_a_locked_store_until_stopped(tmp_path):
    store = tmp_path / "events.db"
    process = start_merau("watch", CLIP, "--store", store)
    process.stdout.readline()
    with closing(sqlite3.connect(store)) as other:
        other.execute("BEGIN IMMEDIATE")
        process.send_signal(signal.SIGTERM)
        await_line(process.stderr, "Waiting for it")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    kinds = Counter(event.kind for event in read_events(store, 1) if event.final)
    saved = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items(), key=lambda one: (-one[1], one[0]))) or "none"
    ended, lost = messages(err)[-2:]
    assert ended.endswith(f"Events saved to {store}: {saved}.")
    assert re.match(r"merau: .* is locked by another program\. .* \d+ changes are lost\.$", lost)
    assert process.returncode == 1


def test_watch_goes_on_when_a_lost_camera_comes_back(tmp_path):
    store = tmp_path / "events.db"
    with RtspServer(CLIP, user="ann", password="se:cr@et") as server:
        process = start_merau("watch", server.url, "--store", store)
        first = process.stdout.readline()
        server.kill()
        printed = [await_line(process.stderr, "lost since")]
        known_s = max(event.offset_s for event in read_events(store))
        server.start()
        printed.append(await_line(process.stderr, "live"))
        await_event(store, after_s=known_s + 0.5)
        process.send_signal(signal.SIGINT)
        printed += process.communicate(timeout=30)
    assert process.returncode == 0
    assert "1 gap." in printed[-1]
    assert "face 1" in first
    (session,) = read_sessions(store)
    ((from_s, to_s),) = session.gaps
    events = list(read_events(store))
    assert events[0].onset_s < from_s < to_s < events[-1].onset_s
    assert events[0].onset_wall
    assert session.source == f"rtsp://127.0.0.1:{server.port}/cam"
    assert b"se:cr" not in store.read_bytes()
    assert "cr%40et" not in "".join(printed)


def test_watch_keeps_the_password_out_of_the_process_list(tmp_path):
    store = tmp_path / "events.db"
    with RtspServer(CLIP, user="ann", password="se:cr@et") as server:
        process = start_merau(
            "watch",
            f"rtsp://ann@127.0.0.1:{server.port}/cam",
            "--store",
            store,
            env=os.environ | {"MERAU_CAMERA_PASSWORD": "se:cr@et"},
        )
        live = await_line(process.stderr, "live")
        listed = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"ann@" in listed
    assert b"se:cr" not in listed
    assert "se:cr" not in live + "".join(printed)


def test_watch_asks_for_a_password_on_a_terminal(monkeypatch, tmp_path):
    asked = []
    monkeypatch.delenv(options.PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr(options, "getpass", lambda text: asked.append(text) or "x y")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert options.complete_source("rtsp://ann@cam/a") == "rtsp://ann@cam/a"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert options.complete_source("rtsp://ann@cam/a") == "rtsp://ann:x%20y@cam/a"
    assert options.complete_source("rtsp://ann:b@cam/a") == "rtsp://ann:b@cam/a"
    assert asked == ["Password of rtsp://cam/a: "]


def test_watch_takes_one_source_of_a_file(tmp_path, capsys):
    file = tmp_path / "cameras.txt"
    file.write_text("gone.mp4\n")
    assert main(["watch", "--source-file", str(file)]) == 1
    assert "There is no file 'gone.mp4'." in capsys.readouterr().err
    file.write_text("0\n1\n")
    assert main(["watch", "--source-file", str(file)]) == 1
    assert "names 2 sources: watch takes one" in capsys.readouterr().err


def await_line(stream, text: str) -> str:
    for line in stream:
        if text in line:
            return line
    raise AssertionError(f"ended without printing {text!r}")


def await_event(store, *, after_s: float) -> None:
    deadline_s = time.monotonic() + 30
    while not any(event.onset_s > after_s for event in read_events(store)):
        assert time.monotonic() < deadline_s, "no event after the camera came back"
        time.sleep(0.05)
