"""The commands as a person types them, on the first seconds of the demo clip: a blink, then brows that rise."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from merau.stream.cli import main
from merau.stream.commands.bench import bench
from merau.stream.commands.demo import CLIP, pairs, table, truth
from merau.stream.events import FIELDS, event_fields
from merau.stream.export import FORMATS
from merau.stream.pipeline import PipelineSettings
from merau.stream.store import Store, read_events, read_sessions
from scripts.support.rtsp_server import RtspServer

SECONDS = 4.5


def cut(path: Path, *, seconds: float) -> Path:
    """The beginning of the demo clip as a clip of its own."""
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as target:
        video = target.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "18"})
        video.width, video.height, video.pix_fmt = 640, 480, "yuv420p"
        for frame in source.decode(video=0):
            if frame.time >= seconds:
                break
            target.mux(video.encode(frame))
        target.mux(video.encode(None))
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    return cut(tmp_path_factory.mktemp("clip") / "short.mp4", seconds=SECONDS)


@pytest.fixture(autouse=True)
def _signals():
    """main() sets handlers for its own process, which here is the tests'."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def merau(*arguments, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, **options)


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "merau.stream.cli", *map(str, arguments)]


def said(text: str) -> list[str]:
    """The lines of stderr, less the note that LiteRT prints at its start and the one on what runs where."""
    return [line for line in text.splitlines() if "XNNPACK" not in line and not line.startswith("Recognizer: ")]


@pytest.fixture(scope="session")
def analysed(clip, tmp_path_factory):
    """`merau analyse` of the clip: the folder with its results, and what was printed."""
    folder = tmp_path_factory.mktemp("analysed") / "out"
    done = merau("analyse", clip, "--out", folder, "--keep-pictures")
    assert done.returncode == 0, done.stderr
    return folder, done


def test_analyse_writes_store_exports_and_report(analysed):
    folder, done = analysed
    assert {path.name for path in folder.iterdir()} >= {"merau.db", *(f"short.{name}" for name in (*FORMATS, "html"))}
    events = list(read_events(folder / "merau.db"))
    assert {"blink", "micro"} <= {event.kind for event in events}
    assert all(event.final for event in events)
    told = [json.loads(line) for line in (folder / "short.jsonl").read_text().splitlines()]
    assert told == [event_fields(event) for event in events]
    assert all(event.apex_jpeg and event.apex_jpeg[:2] == b"\xff\xd8" for event in events)
    assert f"short.mp4: {SECONDS * 30:.0f} frames" in done.stdout
    assert "short.html" in done.stdout
    runs, flows = r"onnxruntime [\d.]+, int8, on the CPU: .+", "dis on the CPU, the spotter's on the CPU"
    assert re.search(rf"^Recognizer: {runs}\. Optical flow: {flows}\.$", done.stderr, re.MULTILINE)
    (session,) = read_sessions(folder / "merau.db")
    assert session.ended
    assert session.frames == SECONDS * 30
    assert session.settings["faces"]["detector"] == "short"


def test_analyse_json_is_one_document_and_writes_nothing(clip, analysed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["analyse", "--json", str(clip)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["source", "frames", "duration_s", "elapsed_s", "tracks", "events"]
    assert document["frames"] == SECONDS * 30
    assert document["duration_s"] == SECONDS
    assert [tuple(event) for event in document["events"]] == [FIELDS] * len(document["events"])
    assert document["events"] == [event_fields(event) for event in read_events(analysed[0] / "merau.db")]
    assert list(tmp_path.iterdir()) == []


def test_one_bad_file_does_not_stop_the_rest(tmp_path, capsys):
    text = tmp_path / "short.txt"
    text.write_text("no video")
    first, last = cut(tmp_path / "short.mp4", seconds=0.5), cut(tmp_path / "short.mov", seconds=0.5)
    files = [str(path) for path in (first, text, tmp_path / "gone.mp4", last)]
    assert main(["analyse", *files, "--out", str(tmp_path / "out")]) == 1
    sentences = said(capsys.readouterr().err)
    assert len(sentences) == 2
    assert "short.txt' is not a video" in sentences[0]
    assert "no file" in sentences[1]
    assert {path.name for path in (tmp_path / "out").glob("*.html")} == {"short.html", "short-2.html"}
    assert [session.source for session in read_sessions(tmp_path / "out/merau.db")] == [str(first), str(last)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_ends_cleanly_on_a_signal(tmp_path, number):
    store = tmp_path / "events.db"
    process = subprocess.Popen(
        command("watch", CLIP, "--store", store, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    first = json.loads(process.stdout.readline())
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    ended = rf"Ended: stopped\. \d+ frames, 0 dropped, 0 gaps\. Events stored in {store}: .*1 .*, int8, on the CPU: "
    assert re.match(ended, said(err)[-1])
    later = {first["id"]: first} | {event["id"]: event for event in map(json.loads, out.splitlines())}
    assert sorted(later) == sorted(event.id for event in read_events(store))
    assert read_sessions(store)[0].ended


def test_watch_a_camera_that_is_lost_and_comes_back(tmp_path):
    store = tmp_path / "events.db"
    with RtspServer(CLIP, user="ann", password="se:cr@et") as server:
        process = subprocess.Popen(
            command("watch", server.url, "--store", store), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        first = process.stdout.readline()
        server.kill()
        heard = [await_line(process.stderr, "lost since")]
        known_s = max(event.offset_s for event in read_events(store))
        server.start()
        heard.append(await_line(process.stderr, "live"))
        deadline_s = time.monotonic() + 30
        while not any(event.onset_s > known_s + 0.5 for event in read_events(store)):
            assert time.monotonic() < deadline_s, "no event after the camera came back"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        heard += process.communicate(timeout=30)
    assert process.returncode == 0
    assert "1 gap." in heard[-1]
    assert "face 1" in first
    (session,) = read_sessions(store)
    ((from_s, to_s),) = session.gaps
    events = list(read_events(store))
    assert events[0].onset_s < from_s < to_s < events[-1].onset_s
    assert events[0].onset_wall
    assert session.source == f"rtsp://127.0.0.1:{server.port}/cam"
    assert b"se:cr" not in store.read_bytes()
    assert "cr%40et" not in "".join(heard)


def await_line(stream, words: str) -> str:
    for line in stream:
        if words in line:
            return line
    raise AssertionError(f"ended without saying {words!r}")


def test_wrong_input_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    cases = {
        "watch gone.mp4": "There is no file 'gone.mp4'.",
        "watch 99": "There is no camera /dev/video99",
        "watch http://x/y": "is not a source",
        f"watch {CLIP} --store nowhere/x.db": "nowhere/x.db cannot be opened",
        f"watch {CLIP} --faces none": "face detector 'none' is not known",
        "analyse x.mp4 --bundle gone": "There is no bundle at gone.",
        "analyse x.mp4 --device cuda": "cuda",
        "analyse x.mp4 --out a-file": "The folder a-file cannot be made",
        "export gone.db": "There is no store at gone.db.",
        "doctor --bundle a-file": "a-file is no recognizer bundle",
    }
    for arguments, sentence in cases.items():
        assert main(arguments.split()) == 1, arguments
        out, err = capsys.readouterr()
        assert out == "" and len(said(err)) == 1 and sentence in err, err


@pytest.mark.parametrize("arguments", [[], ["look"], ["watch"], ["export", "x.db", "--format", "xls"]])
def test_usage_errors_are_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: merau" in capsys.readouterr().err


def test_a_disk_that_fills_up_is_one_sentence(clip, tmp_path):
    done = merau(
        "analyse", clip, "--out", tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000,) * 2)
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(r"^merau: .*(cannot be written|full|more data)", done.stderr, re.MULTILINE)
    assert not list(tmp_path.glob(".*.part"))
    assert not (tmp_path / "short.html").exists()


@pytest.fixture
def store(tmp_path, make_event) -> Path:
    path = tmp_path / "two.db"
    with Store(path) as store:
        for track in (1, 2):
            session = store.start_session(f"camera {track}", settings={}, bundle="default", bundle_sha256="ab")
            for n in range(2000):
                store.put(session, make_event(float(n), track=track, id=str(n)))
    return path


def test_export_to_a_file_and_to_standard_output(store, tmp_path, capfdbinary):
    second = ["export", str(store), "--format", "jsonl", "--session", "2"]
    assert main(second) == 0
    printed = capfdbinary.readouterr().out
    assert main([*second, "--out", str(tmp_path / "two.jsonl")]) == 0
    assert (tmp_path / "two.jsonl").read_bytes() == printed
    assert {json.loads(line)["track"] for line in printed.splitlines()} == {2}
    assert main(["export", str(store), "--format", "csv"]) == 0
    assert capfdbinary.readouterr().out.count(b"\n") == 1 + 1 + 4000


def test_export_json_tells_the_sessions(store, capsys):
    assert main(["export", str(store), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["sessions"]
    assert (first["source"], len(first["events"]), second["events"][0]["track"]) == ("camera 1", 2000, 2)


def test_a_time_line_needs_one_session(store, capsys):
    assert main(["export", str(store), "--format", "eaf"]) == 1
    assert "choose with --session one of 1 (camera 1, " in capsys.readouterr().err
    assert main(["export", str(store), "--session", "3"]) == 1
    assert "There is no session 3" in capsys.readouterr().err


def test_a_closed_pipe_is_quiet(store):
    process = subprocess.Popen(
        command("export", store, "--format", "jsonl"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert json.loads(process.stdout.readline())["id"] == "0"
    process.stdout.close()
    assert (process.wait(timeout=30), process.stderr.read()) == (0, b"")


def test_doctor(capsys):
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["codecs"]["h264"]
    assert findings["runtimes"]["av"]
    assert findings["gpu"]["why"]
    assert findings["bundle"]["card"]["classes"]
    assert re.fullmatch("[0-9a-f]{64}", findings["bundle"]["sha256"])
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert findings["gpu"]["why"] in printed
    assert "optical flow dis on cpu, the spotter's on cpu\n" in printed


def test_bench_times_every_stage(clip):
    from merau.engine.recognizer import Recognizer

    result = bench(Recognizer.load(), PipelineSettings(), clip)
    assert list(result["stages"]) == ["faces", "align", "spot", "recognize"]
    assert result["pipeline"]["calls"] == result["stages"]["faces"]["calls"] == SECONDS * 30


def test_demo_pairs_truth_with_events(make_event):
    micro, blink, macro = (
        {"kind": kind, "label": "", "onset_s": at - 0.2, "apex_s": at, "offset_s": at + 0.2, "aus": ["12"]}
        for kind, at in (("micro", 1.0), ("blink", 2.0), ("macro", 3.0))
    )
    events = [make_event(1.02), make_event(1.3, id="near"), make_event(2.0, kind="other"), make_event(9.0)]
    found = pairs([micro, blink, macro], events)
    assert [pair.verdict for pair in found] == [
        "found, apex +20 ms",
        "not in the clip",
        "named other",
        "missed",
        "not in the clip",
    ]
    assert len(table(found).splitlines()) == 6
    assert found[0].fields()["event"] == events[0].id


def test_demo_truth_is_what_the_clip_is_for():
    kinds = [span["kind"] for span in truth()]
    assert kinds.count("macro") == 2
    assert kinds.count("micro") >= 3
    assert "blink" in kinds
    assert all(span["aus"] for span in truth() if span["kind"] in ("micro", "macro"))
    assert CLIP.exists()
    assert os.path.getsize(CLIP) < 5_000_000
