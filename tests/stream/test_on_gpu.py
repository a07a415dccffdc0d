"""The live side with its recognizer and the spotter's flow on the GPU, on a device or on the stub driver."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from merau.engine import bundle as bundles
from merau.engine.cuda import driver
from merau.engine.errors import DeviceError
from merau.engine.few_shot import Sample, fit_few_shot
from merau.engine.recognizer import Recognizer
from merau.stream.cli import main
from merau.stream.demo import CLIP
from merau.stream.pipeline import Pipeline
from merau.stream.sources import SourceSettings, open_source
from tests.clips import demo_start
from tests.support import LAUNCH_FAILED, farneback_recognizer


@pytest.mark.gpu
def test_doctor_finds_one_bundle_for_gpu_and_cpu(capsys):
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    runs = {"chosen": "cuda", "flow": "farneback", "flow_device": "cuda", "spotter_device": "cuda"}
    assert findings["device"].items() >= runs.items()
    assert findings["bundle"]["sha256"] == Recognizer.load(device="cpu").bundle.sha256


@pytest.mark.gpu
def test_doctor_checks_the_bundle_of_the_cpu_on_an_old_gpu(stub, tmp_path):
    environment = os.environ | {"STUB_ARCH": "60", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "merau", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert ", INT8): TensorRT has no INT8 for sm_60: it begins with sm_75.\n" in done.stdout, done.stderr
    assert f"sha256 {bundles.load().sha256[:16]}\n" in done.stdout


@pytest.mark.gpu
def test_gpu_gives_the_events_of_the_cpu(tmp_path):
    clip, events = demo_start(tmp_path / "short.mp4", 4.2), []
    for device in ("cuda", "cpu"):
        recognizer = farneback_recognizer(device)
        with open_source(str(clip)) as source:
            events.append([event for result in Pipeline("clip", recognizer).run(source) for event in result.events])
    assert "micro" in {event.kind for event in events[0]}
    for seen, true in zip(*events, strict=True):
        assert (seen.id, seen.kind, seen.final, seen.label) == (true.id, true.kind, true.final, true.label)
        times = [(event.onset_s, event.apex_s, event.offset_s) for event in (seen, true)]
        assert times[0] == pytest.approx(times[1], abs=0.02)
        assert seen.probabilities == pytest.approx(true.probabilities, abs=0.05)


@pytest.mark.gpu
def test_head_fitted_on_the_cpu_runs_on_the_gpu(tmp_path, capsys):
    taught, head = Recognizer.load(bundles.SHIPPED / "default", device="cpu"), tmp_path / "head"
    aus, prior = (dict.fromkeys(names, 0.5) for names in (taught.bundle.card["aus"], taught.head.classes[:2]))
    prior |= dict.fromkeys(taught.head.classes[2:], 0.0)
    seen = [np.full(taught.head.dimension, i, np.float32) for i in range(2)]
    fit_few_shot([Sample(f"class {i}", seen[i], prior, aus) for i in range(2)], taught.bundle).save(head)
    assert main(["analyse", str(demo_start(tmp_path / "a.mp4", 0.5)), "--head", str(head), "--json"]) == 0
    printed = capsys.readouterr().err
    assert f"Running on the GPU (INT8; {driver.probe().gpus[0].name}, CUDA " in printed
    assert "Optical flow" not in printed  # which would run elsewhere
    assert Recognizer.load(head=head).bundle == taught.bundle


@pytest.mark.gpu
def test_cpu_takes_over_spotter_flow_from_failing_gpu(stub, tmp_path, caplog):
    pipeline, moved = Pipeline("clip", Recognizer.load(device="auto")), 0
    with open_source(str(demo_start(tmp_path / "short.mp4", 1.0))) as source:
        for result in pipeline.run(source):
            if result.motion and not moved:
                stub.stub_fail(b"cuStreamSynchronize", LAUNCH_FAILED)
            moved += bool(result.motion)
    gpu = driver.probe().gpus[0].name
    reason = f"{gpu} failed at the spotter's flow: cuStreamSynchronize failed: unspecified launch failure."
    assert caplog.messages == [f"The spotter's optical flow continues on the CPU: {reason}"]
    assert pipeline.describe_runtime().values["spotting_device"] == "CPU"
    assert moved > 20


@pytest.mark.gpu
def test_failing_gpu_that_was_demanded_ends_the_source(stub):
    pipeline = Pipeline("clip", Recognizer.load(device="cuda"))
    with open_source(str(CLIP), SourceSettings(paced=True)) as source:
        results = pipeline.run(source)
        while not next(results).motion:
            pass
        stub.stub_fail(b"cuStreamSynchronize", LAUNCH_FAILED)
        with pytest.raises(DeviceError) as caught:
            for _ in results:
                pass
    gpu = driver.probe().gpus[0].name
    reason = f"{gpu} failed at the spotter's flow: cuStreamSynchronize failed: unspecified launch failure."
    assert str(caught.value) == reason
    assert source.state().phase == "ended"
