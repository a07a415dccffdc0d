import csv
import html
import json
import os
import re
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import webvtt

from merau.engine import heads
from merau.engine.bundle import HEAD
from merau.engine.errors import UserError
from merau.engine.few_shot import Sample, fit_few_shot
from merau.engine.recognizer import Recognizer
from merau.stream.analysis import analyse_file
from merau.stream.cli import main
from merau.stream.commands.analyse import format_analysis
from merau.stream.demo import CLIP
from merau.stream.events import FIELDS, event_fields, export_fields
from merau.stream.export import FORMATS
from merau.stream.output_folder import OutputFolder
from merau.stream.pipeline import PipelineSettings
from merau.stream.sources import File, SourceSettings
from merau.stream.store import Store, read_events, read_labels, read_sessions
from tests.clips import demo_start, encode_demo_start
from tests.stream.commands.process import command, messages, run_merau, start_merau
from tests.stream.ui.waiting import wait_for

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
    assert exported == [export_fields(event) for event in events]
    assert {(event["session"], event["partial"]) for event in exported} == {(1, False)}
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
    assert list(document) == ["source", "frames", "duration_s", "elapsed_s", "partial", "notes", "tracks", "events"]
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


def test_slow_motion_is_in_captured_time_and_subtitles_in_the_films(clip, tmp_path, capsysbinary):
    slow = tmp_path / "slow.mp4"
    with (
        av.open(str(clip)) as read,
        av.open(str(slow), "w", options={"movflags": "use_metadata_tags"}) as written,
    ):
        written.metadata["com.android.capture.fps"] = "30"
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.duration = 4 * packet.pts, 4 * packet.dts, 4 * packet.duration
                packet.stream = stream
                written.mux(packet)
    out = tmp_path / "out"
    assert main(["analyse", str(slow), "--out", str(out)]) == 0
    (micro,) = (event for event in read_events(out / "merau.db") if event.kind == "micro")
    assert 3.1 < micro.onset_s < micro.offset_s < 3.8
    subtitles = (out / "slow.vtt").read_text()
    assert f"{micro.id}\n00:00:{4 * micro.onset_s:06.3f} --> " in subtitles
    capsysbinary.readouterr()
    assert main(["export", str(out / "merau.db"), "--format", "vtt"]) == 0
    assert capsysbinary.readouterr().out.decode() == subtitles


def test_analyse_goes_on_after_a_bad_file(tmp_path, capsys):
    text = tmp_path / "short.txt"
    text.write_text("no video")
    first, last = (encode_demo_start(tmp_path / name, 0.5) for name in ("short.mp4", "short.mov"))
    files = [str(path) for path in (first, text, tmp_path / "gone.mp4", last)]
    assert main(["analyse", *files, "--out", str(tmp_path / "out")]) == 1
    told = messages(capsys.readouterr().err)
    assert sum("lasts 0.50 s, which is too short" in line for line in told) == 2
    not_a_video, missing = (line for line in told if "too short" not in line)
    assert "short.txt' is not a video" in not_a_video
    assert "no file" in missing
    assert {path.name for path in (tmp_path / "out").glob("*.html")} == {"short.html", "short-3.html"}
    assert [session.source for session in read_sessions(tmp_path / "out/merau.db")] == [str(first), str(last)]


def test_analyse_folder_sums_up_the_batch(tmp_path, capsys):
    for name, seconds in (("P1/talk.mp4", 0.5), ("P2/talk.mp4", 0.4)):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        encode_demo_start(tmp_path / "in" / name, seconds)
    (tmp_path / "in/P2/broken.mp4").write_text("no video")
    folder, out = str(tmp_path / "in"), tmp_path / "out"
    assert main(["analyse", folder, "--recursive", "--out", str(out)]) == 1
    *_, counts, events, failed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"3 recordings: 2 analysed, 1 failed\. 0:01 of film analysed in \d:\d\d\.", counts)
    assert events == "Events: none."
    assert failed.startswith("Failed: ") and "broken.mp4' is not a video" in failed
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.html")} == {"P1/talk.html", "P2/talk.html"}
    assert main(["analyse", folder, "--recursive", "--out", str(out), "--json"]) == 1
    printed = capsys.readouterr()
    assert [json.loads(line)["skipped"] for line in printed.out.splitlines()] == [True, True]
    assert "3 recordings: 2 skipped, 1 failed. 0:00 of film analysed" in printed.err


@pytest.fixture
def short(tmp_path):
    """A clip of half a second, and the command that analyses it into a folder."""
    path = encode_demo_start(tmp_path / "talk.mp4", 0.5)
    return path, ["analyse", str(path), "--out", str(tmp_path / "out")]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix[1:] in (*FORMATS, "html")}


def stored_events(store):
    """The events of a store; none while it is being made."""
    try:
        return list(read_events(store))
    except UserError:
        return []


def test_second_run_is_skipped_and_doubles_nothing(short, tmp_path, capsys):
    path, command = short
    copy = shutil.copy(path, tmp_path / "copy.mp4")
    assert main(command) == 0
    before = contents(tmp_path / "out")
    (tmp_path / "out/talk.eaf").write_text("corrected by hand")
    assert main([*command[:2], str(copy), *command[2:]]) == 0
    first, second = (line for line in capsys.readouterr().out.splitlines() if ": skipped," in line)
    assert (first.split(":")[0], second.split(":")[0]) == (str(path), str(copy))
    assert "session 1 of" in second
    assert contents(tmp_path / "out") == before | {"talk.eaf": b"corrected by hand"}
    assert [session.id for session in read_sessions(tmp_path / "out/merau.db")] == [1]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["skipped"], document["session"], document["events"]) == (True, 1, [])


def test_changed_export_stays_when_results_are_made_anew(short, tmp_path, capsys):
    _, command = short
    assert main(command) == 0
    (tmp_path / "out/talk.eaf").write_text("corrected by hand")
    (tmp_path / "out/talk.csv").unlink()
    assert main(command) == 0
    assert "talk.eaf was changed after it was written. The new files are named talk-2." in capsys.readouterr().err
    assert (tmp_path / "out/talk.eaf").read_text() == "corrected by hand"
    assert len(contents(tmp_path / "out")) == 2 * len(FORMATS) + 1
    assert len(read_sessions(tmp_path / "out/merau.db")) == 1


def test_files_of_others_are_not_replaced(short, tmp_path):
    _, command = short
    (tmp_path / "out").mkdir()
    (tmp_path / "out/talk.csv").write_text("of an older version")
    assert main(command) == 0
    assert (tmp_path / "out/talk.csv").read_text() == "of an older version"
    assert (tmp_path / "out/talk-2.csv").exists()


def test_overwrite_replaces_files_and_keeps_labels(short, tmp_path, make_event):
    _, command = short
    assert main(command) == 0
    store = tmp_path / "out/merau.db"
    with Store(store) as opened:
        opened.label(1, make_event(), "smirk", {})
    (tmp_path / "out/talk.eaf").write_text("corrected by hand")
    assert main([*command, "--overwrite"]) == 0
    assert "corrected" not in (tmp_path / "out/talk.eaf").read_text()
    assert len(contents(tmp_path / "out")) == len(FORMATS) + 1
    (session,) = read_sessions(store)
    assert [(label.session, label.label) for label in read_labels(store)] == [(session.id, "smirk")]


def test_recording_of_the_same_name_keeps_its_exports(short, tmp_path, capsys):
    _, command = short
    assert main(command) == 0
    before = contents(tmp_path / "out")
    (tmp_path / "other").mkdir()
    other = encode_demo_start(tmp_path / "other/talk.mp4", 0.4)
    for options in ([], ["--overwrite"]):
        assert main(["analyse", str(other), *command[2:], *options]) == 0
        assert contents(tmp_path / "out").items() >= before.items()
    assert "talk.html was written for another recording of this name" in capsys.readouterr().err
    assert len(contents(tmp_path / "out")) == 2 * len(before)


def test_other_settings_are_another_run(short, tmp_path, capsys):
    _, command = short
    assert main(command) == 0
    assert main([*command, "--precision", "fp32"]) == 0
    errors = capsys.readouterr().err
    assert "talk.mp4 was analysed before with other settings (session 1). This run is session 2." in errors
    assert (tmp_path / "out/talk-2.csv").exists()
    assert len(read_sessions(tmp_path / "out/merau.db")) == 2


def test_second_run_with_a_head_is_skipped(short, tmp_path, capsys):
    _, command = short
    bundle = Recognizer.load(device="cpu").bundle
    size = heads.load(bundle.content[HEAD]).dimension
    prior = dict.fromkeys(bundle.card["classes"], 1 / len(bundle.card["classes"]))
    rng = np.random.default_rng(0)
    samples = [Sample(label, rng.normal(size=size).astype(np.float32), prior, {}) for label in ("doubt", "anger")]
    fit_few_shot(samples, bundle).save(tmp_path / "own")
    for _ in range(2):
        assert main([*command, "--head", str(tmp_path / "own")]) == 0
    assert "other settings" not in capsys.readouterr().err
    assert len(read_sessions(tmp_path / "out/merau.db")) == 1


def test_interrupted_run_is_partial_everywhere(tmp_path):
    store = tmp_path / "out/merau.db"
    process = start_merau("analyse", CLIP, "--out", tmp_path / "out", "--json")
    wait_for(lambda: stored_events(store), "an event")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.endswith("\nmerau: interrupted.\n")
    document = json.loads(out)
    assert document["partial"]
    assert 0 < document["frames"] < 840
    (session,) = read_sessions(store)
    assert session.partial
    with (tmp_path / "out/demo.csv").open() as file:
        assert {row["partial"] for row in csv.DictReader(file)} == {"true"}
    assert "Partial: the analysis was interrupted at 0:" in (tmp_path / "out/demo.html").read_text()
    done = run_merau("export", store, "--json")
    assert json.loads(done.stdout)["sessions"][0]["partial"]


def test_whole_run_replaces_a_partial_one(clip, tmp_path, make_event):
    recognizer = Recognizer.load(device="cpu")

    def interrupt(event):
        raise KeyboardInterrupt

    for on_event in (interrupt, lambda event: None):
        with (
            OutputFolder(tmp_path, tmp_path / "merau.db") as output,
            File(str(clip), SourceSettings()) as source,
        ):
            analysis = analyse_file(source, recognizer, PipelineSettings(), store=output.store, on_event=on_event)
            output.store.flush()
            assert bool(analysis.interruption) == read_sessions(output.store.path)[-1].partial
            assert (" of 0:04, analysed at " in format_analysis(analysis, [])) == bool(analysis.interruption)
            output.write(analysis, recognizer.bundle)
            output.store.label(analysis.session, make_event(), "smirk", {})
    assert [(session.id, session.partial) for session in read_sessions(tmp_path / "merau.db")] == [(2, False)]
    assert {label.session for label in read_labels(tmp_path / "merau.db")} == {2}
    assert len(contents(tmp_path)) == len(FORMATS) + 1
    assert "Partial" not in (tmp_path / "short.html").read_text()


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


def test_analyse_takes_a_name_that_no_format_can_hold(tmp_path):
    clip = os.fsencode(tmp_path) + b"/=1\x1b[2J\n--> <b>caf\xe9.mp4"
    demo_start(tmp_path / "plain.mp4", 1.0).rename(os.fsdecode(clip))
    out = tmp_path / "out"
    done = subprocess.run([*command("analyse"), clip, "--out", out], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert done.stdout.count(b"\n") == 2  # what was found, and where the report is
    written = {path.suffix: path for path in out.iterdir() if path.name.startswith("=1")}
    assert set(written) == {".csv", ".eaf", ".html", ".jsonl", ".parquet", ".vtt"}
    assert "<b>caf" not in written[".html"].read_text()
    (session,) = read_sessions(out / "merau.db")
    assert session.source.endswith("=1\ufffd[2J --> <b>caf\ufffd.mp4")


def test_exports_of_a_late_picture_lie_where_a_player_shows_it(clip, tmp_path):
    for name, late_s in (("early", 0.0), ("late", 1.5)):  # both in Matroska, which counts milliseconds
        mux_with_sound(clip, tmp_path / f"{name}.mkv", late_s)
        assert main(["analyse", str(tmp_path / f"{name}.mkv"), "--out", str(tmp_path / "out")]) == 0
    expected_s = [1.5 + t_s for t_s in starts_s(tmp_path / "out/early.vtt")]
    found_s = starts_s(tmp_path / "out/late.vtt")
    assert found_s[-1] == pytest.approx(expected_s[-1], abs=0.002)  # the expression
    # The blink within a frame: where times round otherwise, another candidate of it may end first.
    assert found_s == pytest.approx(expected_s, abs=0.02)


def mux_with_sound(clip: Path, path: Path, late_s: float) -> None:
    """Copy the picture of `clip` so that it begins `late_s` after a second of silence."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        picture = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        silence.sample_rate, silence.pts = 8000, 0
        target.mux(sound.encode(silence))
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.pts += round(late_s / packet.time_base)
                packet.dts += round(late_s / packet.time_base)
                packet.stream = picture
                target.mux(packet)


def starts_s(vtt: Path) -> list[float]:
    return [float(cue.start.rpartition(":")[2]) for cue in webvtt.read(vtt)]  # webvtt's own are whole seconds
