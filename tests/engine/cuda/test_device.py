"""Failing driver calls, on the stub driver, where each call fails on request."""

import gc
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.engine.cuda.device import Device, Memory
from merau.engine.cuda.farneback import Farneback
from merau.engine.cuda.nvrtc import compile_source
from merau.engine.cuda.patch_flow import PatchFlow
from merau.engine.cuda.preprocess import PairPreprocessor
from merau.engine.errors import DeviceError
from merau.engine.preprocess import GRID
from scripts.support.stub_driver.build import FAULTS
from tests.support import LAUNCH_FAILED

NO_BINARY = 209  # CUDA_ERROR_NO_BINARY_FOR_GPU
KINDS = (b"device memory", b"pinned memory", b"stream", b"machine code", b"PTX", b"context")
SPEC = CropSpec(32, 2, 6, 4)
IMAGES = np.random.default_rng(0).integers(0, 255, (2, 1, *SPEC.full), dtype=np.uint8)
STARTING = {
    **{
        call: f"No GPU can be used: the NVIDIA driver fails at {call}: unspecified launch failure (719)."
        for call in (
            "cuInit",
            "cuDriverGetVersion",
            "cuDeviceGetCount",
            "cuDeviceGet",
            "cuDeviceGetName",
            "cuDeviceGetAttribute",
            "cuDeviceTotalMem",
        )
    },
    "cuDevicePrimaryCtxRetain": "failed at starting: cuDevicePrimaryCtxRetain failed: unspecified launch failure.",
}
CONTEXT = {"cuCtxPushCurrent"}
PREPARING = CONTEXT | {"cuMemAlloc", "cuMemHostAlloc", "cuModuleGetFunction", "cuStreamCreate"}
WORKING = CONTEXT | {"cuMemcpyHtoDAsync", "cuLaunchKernel", "cuMemcpyDtoHAsync", "cuStreamSynchronize"}


def optical_flow(device: Device) -> np.ndarray:
    with closing(Farneback(device, 1, *SPEC.full)) as farneback:
        return farneback(*IMAGES)


def spotters_flow(device: Device) -> np.ndarray:
    with closing(PatchFlow(device, 1, *SPEC.full)) as patches:
        return patches(before=IMAGES[0], after=IMAGES[1])[0]


def recognition(device: Device) -> np.ndarray:
    """Compute an engine's input in the stream and memory of another owner, as for an engine."""
    preprocessor = PairPreprocessor(device, 1, SPEC)
    with device.current("preparing an engine"):
        memory = Memory(device)
        pattern, magnitude = memory.allocate(1, 2, GRID, GRID), memory.allocate(1, 1)
        seen = memory.pinned(1, 2, GRID, GRID)
    with closing(preprocessor), closing(memory), device.current("recognition"):
        preprocessor.enqueue(*IMAGES, pattern, magnitude, memory.stream)
        device.cuda.memcpy_dtoh_async(seen, pattern, memory.stream)
        memory.stream.synchronize()
        return seen.copy()


USERS = {  # what works on the GPU, and the calls that may fail, by the task that the error names
    optical_flow: {"preparing optical flow": PREPARING, "optical flow": WORKING | {"cuMemsetD8Async"}},
    spotters_flow: {"preparing the spotter's flow": PREPARING, "the spotter's flow": WORKING},
    recognition: {
        "preparing optical flow": PREPARING,
        "preparing recognition": PREPARING | {"cuMemcpyHtoD"},
        "preparing an engine": PREPARING - {"cuModuleGetFunction"},
        "recognition": WORKING | {"cuMemsetD8Async"},
    },
}


def live_objects(stub):
    gc.collect()
    return {kind.decode(): stub.stub_live(kind) for kind in KINDS}


@pytest.mark.gpu
@pytest.mark.parametrize("call", STARTING)
def test_failing_start_is_reported_without_leaks(stub, call):
    before = live_objects(stub)
    stub.stub_fail(call.encode(), LAUNCH_FAILED)
    with pytest.raises(DeviceError) as caught:
        Device()
    assert str(caught.value).endswith(STARTING[call])
    assert live_objects(stub) == before


def error_message(user, device: Device) -> str:
    """The error message; empty without an error."""
    try:
        user(device)
    except DeviceError as error:
        return str(error)
    return ""


@pytest.mark.gpu
@pytest.mark.parametrize("user", USERS, ids=lambda user: user.__name__)
def test_every_failing_call_is_reported_without_leaks(stub, user):
    before, messages = live_objects(stub), set()
    device = Device()
    with ThreadPoolExecutor(1) as camera:
        expected = camera.submit(user, device).result()
        for number in itertools.count(1):
            device.idle_streams.clear()  # so that a new one is created
            began = stub.stub_calls()
            stub.stub_fail_at(number, LAUNCH_FAILED)
            messages.add(camera.submit(error_message, user, device).result())
            stub.stub_reset()
            if stub.stub_calls() - began < number:
                break
        assert np.array_equal(camera.submit(user, device).result(), expected)
    device.close()
    assert live_objects(stub) == before
    assert messages - {""} == {
        f"{device.gpu.name} failed at {doing}: {call} failed: unspecified launch failure."
        for doing, calls in ({"releasing memory": CONTEXT} | USERS[user]).items()
        for call in calls
    }


@pytest.mark.gpu
def test_failing_release_leaks_nothing_and_hides_no_error(stub):
    before = live_objects(stub)
    device = Device()
    stub.stub_fail(b"cuLaunchKernel", LAUNCH_FAILED)
    for call in (b"cuMemFree", b"cuMemFreeHost"):
        stub.stub_fail(call, LAUNCH_FAILED)
    assert "failed at optical flow: cuLaunchKernel failed" in error_message(optical_flow, device)
    assert all(live_objects(stub)[kind] == before[kind] for kind in ("device memory", "pinned memory"))
    for call in (b"cuStreamDestroy", b"cuModuleUnload", b"cuDevicePrimaryCtxRelease"):
        stub.stub_fail(call, LAUNCH_FAILED)
    device.close()
    assert live_objects(stub) == before


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", ["read_at", "write_at", "share_at"])
def test_stub_catches_access_past_the_end(stub, device, kernel):
    with device.current("a test"):
        code, _ = compile_source(FAULTS, device.gpu.arch)
        run = device.cuda.module_from_buffer(code).get_function(kernel)
        run.prepare("Pi")
        memory = Memory(device)
        values = memory.allocate(8)
        run.prepared_async_call((1, 1), (1, 1, 1), memory.stream, values, 7)
        memory.stream.synchronize()
        run.prepared_async_call((1, 1), (1, 1, 1), memory.stream, values, 8)
        with pytest.raises(device.cuda.Error, match="illegal memory access"):
            memory.stream.synchronize()
    stub.stub_reset()
    memory.close()


@pytest.mark.gpu
def test_ptx_is_loaded_if_machine_code_is_refused(stub):
    device = Device()
    expected = optical_flow(device)
    assert (live_objects(stub)["machine code"], live_objects(stub)["PTX"]) == (1, 0)
    device.close()
    device = Device()
    stub.stub_fail(b"cuModuleLoadDataEx", NO_BINARY)
    assert np.array_equal(optical_flow(device), expected)
    assert (live_objects(stub)["machine code"], live_objects(stub)["PTX"]) == (0, 1)
    device.close()


@pytest.mark.gpu
def test_ptx_is_loaded_on_a_gpu_newer_than_nvrtc(stub, monkeypatch):
    monkeypatch.setenv("STUB_ARCH", "999")
    device = Device()
    assert optical_flow(device).shape == (1, 2, *SPEC.full)
    assert (live_objects(stub)["machine code"], live_objects(stub)["PTX"]) == (0, 1)
    device.close()
