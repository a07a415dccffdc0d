import html
import json
import re
import resource
from pathlib import Path

import av
import pytest

from merau.stream.cli import main
from merau.stream.events import FIELDS, event_fields
from merau.stream.export import FORMATS
from merau.stream.store import read_events, read_sessions
from tests.clips import encode_demo_start
from tests.stream.commands.process import messages, run_merau

FRAMES, DURATION_S = 135, 4.5


@pytest.fixture(scope="session")
def analysed(clip, tmp_path_factory):
    """`merau analyse` of the clip: the folder with its results, and what was printed."""
    folder = tmp_path_factory.mktemp("analysed") / "out"
    done = run_merau("analyse", clip, "--out", folder, "--keep-pictures")
    assert done.returncode == 0, done.stderr
    return folder, done


def test_analyse_writes_store_exports_and_report(analysed):
    folder, _ = analysed
    assert {path.name for path in folder.iterdir()} >= {"merau.db", *(f"short.{name}" for name in (*FORMATS, "html"))}
    events = list(read_events(folder / "merau.db"))
    assert {"blink", "micro"} <= {event.kind for event in events}
    assert all(event.final for event in events)
    exported = [json.loads(line) for line in (folder / "short.jsonl").read_text().splitlines()]
    assert exported == [event_fields(event) for event in events]
    assert all(event.apex_jpeg and event.apex_jpeg[:2] == b"\xff\xd8" for event in events)


def test_analyse_stores_an_ended_session(analysed):
    (session,) = read_sessions(analysed[0] / "merau.db")
    assert session.ended
    assert session.frames == FRAMES
    assert session.settings["faces"]["detector"] == "short"


def test_analyse_prints_events_by_time(analysed):
    folder, done = analysed
    first, *events, report = done.stdout.splitlines()
    assert f"short.mp4: {FRAMES} frames, 0:04 long, analysed at " in first
    assert report == f"Report: {folder / 'short.html'}"
    assert events == sorted(events)
    assert not any("final" in line for line in events)
    assert "Running on the CPU (INT8; " in done.stderr


def test_analyse_json_is_one_document_and_writes_nothing(clip, analysed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["analyze", "--json", str(clip)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["source", "frames", "duration_s", "elapsed_s", "notes", "tracks", "events"]
    assert document["frames"] == FRAMES
    assert document["notes"] == []
    assert document["duration_s"] == DURATION_S
    assert [tuple(event) for event in document["events"]] == [FIELDS] * len(document["events"])
    assert document["events"] == [event_fields(event) for event in read_events(analysed[0] / "merau.db")]
    assert list(tmp_path.iterdir()) == []


def test_analyse_tells_what_is_missing_everywhere(clip, tmp_path):
    cut_off = tmp_path / "cut.mkv"
    with av.open(str(clip)) as read, av.open(str(cut_off), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    data = cut_off.read_bytes()
    cut_off.write_bytes(data[: len(data) // 2])
    done = run_merau("analyse", cut_off, "--out", tmp_path / "out", "--json")
    document = json.loads(done.stdout)
    (note,) = document["notes"]
    assert re.fullmatch(r".* is cut off: \d\.\d\d of 4\.50 s could be decoded\.", note)
    assert f"Note: {note}" in messages(done.stderr)
    assert f"Note: {note}" in html.unescape((tmp_path / "out/cut.html").read_text())


def test_analyse_goes_on_after_a_bad_file(tmp_path, capsys):
    text = tmp_path / "short.txt"
    text.write_text("no video")
    first, last = (encode_demo_start(tmp_path / name, 0.5) for name in ("short.mp4", "short.mov"))
    files = [str(path) for path in (first, text, tmp_path / "gone.mp4", last)]
    assert main(["analyse", *files, "--out", str(tmp_path / "out")]) == 1
    not_a_video, missing = messages(capsys.readouterr().err)
    assert "short.txt' is not a video" in not_a_video
    assert "no file" in missing
    assert {path.name for path in (tmp_path / "out").glob("*.html")} == {"short.html", "short-2.html"}
    assert [session.source for session in read_sessions(tmp_path / "out/merau.db")] == [str(first), str(last)]


def test_analyse_on_a_full_disk_prints_one_error(clip, tmp_path):
    def limit_file_size():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000,) * 2)

    done = run_merau("analyse", clip, "--out", tmp_path, preexec_fn=limit_file_size)
    assert done.returncode == 1
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("merau: "))
    assert any(words in error for words in ("cannot be written", "full", "more data"))
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob(".*.part"))
    assert not Path(tmp_path, "short.html").exists()
