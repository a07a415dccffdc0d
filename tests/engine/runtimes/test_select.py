"""Selection of a runtime, and the fall-back to the CPU."""

import numpy as np
import pytest

from merau.engine import bundle as bundles
from merau.engine import cache
from merau.engine.crop import CropSpec
from merau.engine.cuda import driver
from merau.engine.errors import DeviceError, Message, UserError
from merau.engine.recognizer import Recognizer
from merau.engine.runtimes import select, tensorrt
from merau.engine.runtimes.select import select_runtime
from scripts.support.flow_cases import face_pair
from tests.support import LAUNCH_FAILED

NO_GPU = driver.Probe([], Message("no NVIDIA driver found"))


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(driver, "probe", lambda: NO_GPU)


def test_auto_without_gpu_runs_on_the_cpu_with_the_reason(no_gpu):
    _, runtime = select_runtime(bundles.load(), "auto", "int8")
    assert runtime.device == "cpu"
    assert runtime.runtime.startswith("onnxruntime ")
    assert str(runtime) == "Running on the CPU (INT8; no NVIDIA driver found)."


def test_cuda_without_gpu_raises_one_sentence(no_gpu):
    with pytest.raises(DeviceError, match=r"^No GPU can be used: no NVIDIA driver found\.$"):
        Recognizer.load(device="cuda")


def test_unusable_gpu_falls_back_to_the_default_bundle(monkeypatch):
    def broken():
        raise DeviceError("The GPU needs pycuda.")

    monkeypatch.setattr(
        driver, "probe", lambda: driver.Probe([driver.Gpu("a GPU", "sm_89", 1 << 33)], Message("CUDA 13.0"))
    )
    monkeypatch.setattr(select, "device", broken)
    recognizer = Recognizer.load()
    assert str(recognizer.runtime) == "Running on the CPU (INT8). The GPU needs pycuda."
    assert recognizer.flow_method == "dis"
    with pytest.raises(DeviceError, match="needs pycuda"):
        Recognizer.load(device="cuda")


def test_gpu_precisions_are_refused_on_the_cpu(no_gpu):
    with pytest.raises(UserError, match=r"Precision fp16 needs a GPU: on the CPU choose one of fp32, int8\."):
        select_runtime(bundles.load(), "cpu", "fp16")
    with pytest.raises(UserError, match=r"Precision fp8 needs a GPU: on the CPU .* No GPU can be used: no NVIDIA"):
        select_runtime(bundles.load(), "auto", "fp8")
    with pytest.raises(UserError, match="Precision is 'int4'"):
        select_runtime(bundles.load(), "cpu", "int4")


class Failing:
    """A GPU trunk whose device is lost."""

    def embed(self, **inputs):
        raise DeviceError("The GPU fell out.")


def test_failing_trunk_falls_back_to_the_cpu_unless_cuda(caplog):
    grey = np.random.default_rng(0).integers(0, 255, (180, 168), dtype=np.uint8)
    recognizer = Recognizer.load(device="auto")
    expected = recognizer.predict(grey, grey)
    recognizer.trunk = Failing()
    seen = recognizer.predict(grey, grey)
    assert np.allclose(seen.embedding, expected.embedding)
    assert recognizer.runtime.device == "cpu"
    assert caplog.messages == ["Recognition continues on the CPU: The GPU fell out."]
    assert str(recognizer.runtime) == "Running on the CPU (INT8). The GPU fell out."
    recognizer.trunk, recognizer.device = Failing(), "cuda"
    with pytest.raises(DeviceError, match="fell out"):
        recognizer.predict(grey, grey)


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


REFUSALS = {
    "cuCtxPushCurrent": "cuCtxPushCurrent failed: unspecified launch failure",
    "cuMemcpyHtoDAsync": "cuMemcpyHtoDAsync failed: unspecified launch failure",
    "cuLaunchKernel": "cuLaunchKernel failed: unspecified launch failure",
    "cuStreamSynchronize": "the engine did not run: Cuda Runtime (719)",
    "cuMemcpyDtoHAsync": "cuMemcpyDtoHAsync failed: unspecified launch failure",
}


@pytest.mark.gpu
@pytest.mark.parametrize("call", REFUSALS)
def test_failing_gpu_call_falls_back_to_the_cpu_unless_cuda(stub, call):
    onset, apex = face_pair(0, *CropSpec().full)
    demanded, found = Recognizer.load(device="cuda"), Recognizer.load(device="auto")
    expected = demanded.predict(onset, apex).probabilities
    failure = f"{driver.probe().gpus[0].name} failed at recognition: {REFUSALS[call]}"

    stub.stub_fail(call.encode(), LAUNCH_FAILED)
    with pytest.raises(DeviceError) as caught:
        demanded.predict(onset, apex)
    assert str(caught.value) == f"{failure}."
    assert demanded.predict(onset, apex).probabilities == expected

    stub.stub_fail(call.encode(), LAUNCH_FAILED)
    assert found.runtime.device == "cuda"
    on_cpu = Recognizer.load(device="cpu").predict(onset, apex).probabilities
    assert found.predict(onset, apex).probabilities == pytest.approx(on_cpu)
    assert (found.runtime.device, str(found.runtime.reason)) == ("cpu", f"{failure}.")


@pytest.mark.gpu
@pytest.mark.parametrize("call", ["cuMemAlloc", "cuCtxSynchronize"])  # of the engine's memory, and of its context
def test_engine_that_fails_to_start_is_tried_again(stub, cache_folder, monkeypatch, call):
    monkeypatch.setattr(select, "_engines", {})
    stub.stub_fail(call.encode(), LAUNCH_FAILED)
    assert select.on_gpu(bundles.load(), "int8")[1].device == "cuda"


@pytest.mark.gpu
def test_gpu_without_memory_falls_back_and_names_the_tensor(stub, cache_folder, monkeypatch):
    monkeypatch.setattr(select, "_engines", {})
    stub.stub_fill(1)  # byte is left: what the stub's engine computes in
    _, runtime = select_runtime(bundles.load(), "auto", "int8")
    failure = f"{driver.probe().gpus[0].name} failed at making room for 'flow': cuMemAlloc failed: out of memory"
    assert (runtime.device, str(runtime.reason)) == ("cpu", f"{failure}.")


@pytest.mark.gpu
def test_engine_of_another_driver_is_rebuilt(cache_folder):
    bundle, gpu = bundles.load(), driver.probe().gpus[0]
    path, _ = tensorrt.cached_engine(bundle, "int8", gpu.arch)
    cache.write(path, b"of another driver")
    select.load_engine(bundle, "int8")
    assert cache.read(path) not in (None, b"of another driver")
