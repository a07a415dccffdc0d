"""What happens when the driver refuses: on the stub, which fails on demand at each call."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine.cuda.device import Device
from engine.cuda.farneback import Farneback
from engine.errors import DeviceError

NO_BINARY, LAUNCH_FAILED = 209, 719  # no lack of memory: pycuda collects garbage and asks again
KINDS = (b"device memory", b"pinned memory", b"stream", b"module", b"context")
PICTURES = np.random.default_rng(0).integers(0, 255, (2, 1, 40, 40), dtype=np.uint8)
STARTING = {
    "cuInit": "There is no GPU to use: the NVIDIA driver does not start",
    "cuDevicePrimaryCtxRetain": "failed at starting: cuDevicePrimaryCtxRetain failed",
}
WORKING = {
    "cuCtxPushCurrent": "preparing optical flow",
    "cuModuleGetFunction": "preparing optical flow",
    "cuStreamCreate": "preparing optical flow",
    "cuMemAlloc": "preparing optical flow",
    "cuMemHostAlloc": "preparing optical flow",
    "cuMemcpyHtoDAsync": "optical flow",
    "cuLaunchKernel": "optical flow",
    "cuMemsetD8Async": "optical flow",
    "cuMemcpyDtoHAsync": "optical flow",
    "cuStreamSynchronize": "optical flow",
}


def live(stub):
    gc.collect()
    return {kind.decode(): stub.stub_live(kind) for kind in KINDS}


def run(device: Device) -> np.ndarray:
    farneback = Farneback(device, 1, 40, 40)
    try:
        return farneback(*PICTURES)
    finally:
        farneback.close()


def run_alone() -> np.ndarray:
    device = Device()
    flow = run(device)
    device.close()
    return flow


@pytest.mark.gpu
@pytest.mark.parametrize("call", STARTING)
def test_a_gpu_that_does_not_start_is_told_and_nothing_leaks(stub, call):
    before = live(stub)
    stub.stub_fail(call.encode(), LAUNCH_FAILED)
    with pytest.raises(DeviceError) as caught:
        Device()
    assert str(caught.value).endswith(f"{STARTING[call]}: unspecified launch failure.")
    assert live(stub) == before


@pytest.mark.gpu
@pytest.mark.parametrize("call", WORKING)
def test_a_refused_call_is_told_and_nothing_leaks(stub, call):
    before = live(stub)
    device = Device()

    def of_a_camera() -> str:
        with pytest.raises(DeviceError) as caught:
            run(device)
        told = str(caught.value)
        del caught  # a cycle, which would outlive the device
        return told

    with ThreadPoolExecutor(1) as cameras:
        for _ in range(2):
            stub.stub_fail(call.encode(), LAUNCH_FAILED)
            told = cameras.submit(of_a_camera).result()
            assert told.endswith(f"failed at {WORKING[call]}: {call} failed: unspecified launch failure.")
        assert np.isfinite(cameras.submit(run, device).result()).all()
    device.close()
    assert live(stub) == before


@pytest.mark.gpu
def test_ptx_is_loaded_where_the_driver_refuses_machine_code(stub):
    expected = run_alone()
    stub.stub_fail(b"cuModuleLoadDataEx", NO_BINARY)
    assert np.array_equal(run_alone(), expected)


@pytest.mark.gpu
def test_ptx_is_loaded_on_a_gpu_newer_than_the_compiler(stub, monkeypatch):
    monkeypatch.setenv("STUB_ARCH", "999")
    assert run_alone().shape == (1, 2, 40, 40)
