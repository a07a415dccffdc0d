"""On what a recognizer runs: a TensorRT engine where a GPU answers, ONNX Runtime on the CPU everywhere else."""

import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import onnxruntime

from merau.engine.bundle import TRUNKS, Bundle
from merau.engine.crop import CropSpec
from merau.engine.cuda import driver
from merau.engine.cuda.device import device
from merau.engine.errors import DeviceError, UserError
from merau.engine.runtimes import tensorrt
from merau.engine.runtimes.batching import Batcher, Trunk
from merau.engine.runtimes.onnx import OnnxTrunk

DEVICES = ("auto", "cpu", "cuda")
MAX_SPOTTER_PAIRS = 32  # pairs in one run of the spotter's flow

_shared: dict[tuple[str, str], Batcher] = {}  # engines that run, by bundle and precision: all cameras use one
_sharing = threading.Lock()


@dataclass(frozen=True)
class RuntimeInfo:
    """What runs, and why: `device` is "cpu" or "cuda"; `why` is half a sentence."""

    device: str
    runtime: str
    precision: str
    why: str

    def __str__(self) -> str:
        return f"{self.runtime}, {self.precision}, on {'the CPU' if self.device == 'cpu' else 'the GPU'}: {self.why}"


def select_runtime(bundle: Bundle, wanted: str, precision: str) -> tuple[Trunk, RuntimeInfo]:
    """The trunk of `bundle` on "cpu", "cuda", or with "auto" on whichever can be had.

    Raises UserError, one sentence, where "cuda" cannot be had, or on "cpu" the precision.
    """
    if wanted not in DEVICES:
        raise UserError(f"Device is {wanted!r}: choose one of {', '.join(DEVICES)}.")
    if precision not in TRUNKS.keys() | tensorrt.GRAPHS.keys():
        raise UserError(f"Precision is {precision!r}: choose one of fp32, int8; on a GPU also fp16, fp8.")
    if wanted == "cpu" and precision not in TRUNKS:
        raise UserError(f"Precision {precision} is for GPUs: on the CPU choose one of {', '.join(TRUNKS)}.")
    why = "asked for"
    if wanted != "cpu":
        try:
            return on_gpu(bundle, precision)
        except UserError as error:  # also where there is no engine for this GPU, or no such trunk in the bundle
            if wanted == "cuda":
                raise
            why = str(error).rstrip(".")
    return on_cpu(bundle, precision, why)


def on_cpu(bundle: Bundle, precision: str, why: str) -> tuple[Trunk, RuntimeInfo]:
    """The trunk of `bundle` on the CPU, in INT8 where only a GPU has the precision, and that it runs there because of
    `why`.
    """
    precision = precision if precision in TRUNKS else "int8"
    trunk = OnnxTrunk(bundle.content[TRUNKS[precision]])
    return trunk, RuntimeInfo("cpu", f"onnxruntime {onnxruntime.__version__}", precision, why)


def on_gpu(bundle: Bundle, precision: str) -> tuple[Trunk, RuntimeInfo]:
    """The engine of `bundle`, built at the first call and shared by all that ask for it. "fp32" runs as "fp16"."""
    probe = driver.probe()
    if not probe.gpus:
        raise DeviceError(f"There is no GPU to use: {probe.why}.")
    precision = "fp16" if precision == "fp32" else precision
    with _sharing:
        if (bundle.sha256, precision) not in _shared:
            _shared[bundle.sha256, precision] = Batcher(load_engine(bundle, precision).embed)
        trunk = _shared[bundle.sha256, precision]
    trt = tensorrt.load_library()
    return trunk, RuntimeInfo("cuda", tensorrt.library_version(trt), precision, f"{device().gpu.name}, {probe.why}")


def load_engine(bundle: Bundle, precision: str) -> Trunk:
    """The engine on the GPU; one from the cache that does not load is built again."""
    arch = device().gpu.arch
    path, plan = tensorrt.cached_engine(bundle, precision, arch)
    with suppress(DeviceError):
        return create_trunk(bundle, plan)
    path.unlink(missing_ok=True)  # not while the error is handled: it holds the memory that the first try took
    return create_trunk(bundle, tensorrt.cached_engine(bundle, precision, arch)[1])


def create_trunk(bundle: Bundle, plan: bytes) -> Trunk:
    if not takes_crops(bundle):
        return tensorrt.TensorRtTrunk(device(), plan)
    from merau.engine.runtimes.tensorrt_crops import CropTrunk

    return CropTrunk(device(), plan, CropSpec(**bundle.card["input"]["crop"]))


def takes_crops(bundle: Bundle) -> bool:
    """Whether its flow is computed on the GPU as well: the trunk there is asked with crops, not with flow."""
    return bool(bundle.card["input"]["flow"] == "farneback" and not bundle.card["input"]["apex_px"])


def patch_flow_on_gpu(height: int, width: int) -> Batcher:
    """The spotter's flow of all cameras: `before` and `after` (1, H, W) uint8 -> what engine.patches.patch_flow gives.

    What is asked while one run is under way goes together into the next: nobody waits for others to ask.

    Raises DeviceError where there is no GPU.
    """
    with _sharing:
        return _patch_flow(height, width)


@lru_cache
def _patch_flow(height: int, width: int) -> Batcher:
    from merau.engine.cuda.patch_flow import PatchFlow

    return Batcher(PatchFlow(device(), MAX_SPOTTER_PAIRS, height, width), wait_s=0, max_rows=MAX_SPOTTER_PAIRS)
