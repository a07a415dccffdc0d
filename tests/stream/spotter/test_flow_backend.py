"""The spotter's flow with and without a GPU: on a device, or on the stub driver."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.engine.errors import DeviceError
from merau.engine.recognizer import Recognizer
from merau.stream.spotter import flow_backend
from merau.stream.spotter.features import extract, motion_between
from merau.stream.spotter.flow_backend import FlowBackend, describe_runtime
from merau.trainers.data.synth.timelines import Action, Ramp

OUT_OF_MEMORY = "a GPU failed at preparing the spotter's flow: out of memory."


def recognizer_as_on_gpu(device: str) -> Recognizer:
    recognizer = Recognizer.load(device="cpu")
    recognizer.device, recognizer.runtime = device, replace(recognizer.runtime, device="cuda")
    return recognizer


@pytest.fixture
def full_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*size: int) -> None:
        raise DeviceError(OUT_OF_MEMORY)

    monkeypatch.setattr(flow_backend, "patch_flow_on_gpu", fail)


def test_gpu_without_room_leaves_the_flow_to_the_cpu(full_gpu, caplog):
    recognizer = recognizer_as_on_gpu("auto")
    flow = FlowBackend(recognizer, recognizer.spec)
    assert flow.device == "cpu"
    assert describe_runtime(recognizer, flow).values["spotting_device"] == "CPU"
    assert caplog.messages == [f"The spotter's optical flow continues on the CPU: {OUT_OF_MEMORY}"]


def test_demanded_gpu_without_room_raises(full_gpu):
    recognizer = recognizer_as_on_gpu("cuda")
    with pytest.raises(DeviceError, match="out of memory"):
        FlowBackend(recognizer, recognizer.spec)


@pytest.mark.gpu
def test_flow_of_several_cameras_on_the_gpu_equals_the_cpus(make_crops):
    smile = Action("micro", (Ramp(0.05, 0.3, 0.5, {"12 left": 2.0, "12 right": 2.0}),))
    first, *others = (extract(crop) for crop in make_crops([smile], (0, 0.1, 0.2, 0.3)))
    flow = FlowBackend(recognizer_as_on_gpu("cuda"), CropSpec())
    with ThreadPoolExecutor(len(others)) as cameras:
        on_gpu = list(cameras.map(lambda now: motion_between(first, now, CropSpec(), flow), others))
    for now, found in zip(others, on_gpu, strict=True):
        now.motions.clear()
        on_cpu = motion_between(first, now, CropSpec())
        assert np.abs(found.patches - on_cpu.patches).max() < 0.01
        assert np.abs(found.turn - on_cpu.turn).max() < 0.01
    assert np.hypot(*on_gpu[-1].patches).max() > 0.5
