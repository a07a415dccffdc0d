"""Select what runs a trunk: a TensorRT engine on a GPU that works, else ONNX Runtime on the CPU."""

import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import onnxruntime

from merau.engine.bundle import TRUNKS, Bundle
from merau.engine.crop import CropSpec
from merau.engine.cuda import driver
from merau.engine.cuda.device import device, no_gpu
from merau.engine.cuda.patch_flow import PatchFlow
from merau.engine.errors import DeviceError, Message, UserError
from merau.engine.runtimes import tensorrt
from merau.engine.runtimes.batching import Batcher, Trunk
from merau.engine.runtimes.onnx import OnnxTrunk
from merau.engine.runtimes.tensorrt_crops import CropTrunk

DEVICES = ("auto", "cpu", "cuda")
MAX_SPOTTER_PAIRS = 32  # in one run of the spotter's flow

_engines: dict[tuple[str, str], Batcher] = {}  # running engines by bundle and precision; all cameras share them
_engines_lock = threading.Lock()


@dataclass(frozen=True)
class RuntimeInfo:
    """The runtime in use, and the reason for it.

    Attributes:
        device: "cpu" or "cuda".
        runtime: Name and version.
        precision: "fp32", "fp16", "int8" or "fp8".
        reason: A phrase such as "no NVIDIA driver found", or the whole sentence of an error.
    """

    device: str
    runtime: str
    precision: str
    reason: Message

    @property
    def message(self) -> Message:
        """The sentence that says on what the recognizer runs."""
        values: dict[str, object] = {"precision": self.precision.upper(), "reason": self.reason}
        if self.device == "cuda":
            return Message("Running on the GPU ({precision}; {reason}).", values)
        if self.reason.template.endswith("."):
            return Message("Running on the CPU ({precision}). {reason}", values)
        return Message("Running on the CPU ({precision}; {reason}).", values)

    def __str__(self) -> str:
        return str(self.message)


def select_runtime(bundle: Bundle, wanted: str, precision: str) -> tuple[Trunk, RuntimeInfo]:
    """Load the trunk of `bundle` on a device.

    Args:
        bundle: The bundle.
        wanted: "cpu", "cuda", or "auto" for a GPU that works, else the CPU.
        precision: "fp32" or "int8"; on a GPU also "fp16" or "fp8".

    Raises:
        UserError: The device cannot be used, or it does not support the precision.
    """
    if wanted not in DEVICES:
        raise UserError(f"Device is {wanted!r}: choose one of {', '.join(DEVICES)}.")
    if precision not in TRUNKS.keys() | tensorrt.GRAPHS.keys():
        raise UserError(f"Precision is {precision!r}: choose one of fp32, int8; on a GPU also fp16, fp8.")
    if wanted == "cpu" and precision not in TRUNKS:
        raise UserError(f"Precision {precision} needs a GPU: on the CPU choose one of {', '.join(TRUNKS)}.")
    if wanted == "cpu":
        return on_cpu(bundle, precision, Message("as requested"))
    if wanted == "auto" and precision in TRUNKS and not (probe := driver.probe()).gpus:
        return on_cpu(bundle, precision, probe.reason)
    try:
        return on_gpu(bundle, precision)
    except UserError as error:  # also if there is no engine for this GPU, or no such trunk in the bundle
        if wanted == "cuda":
            raise
        if precision not in TRUNKS:  # it was asked for, and the CPU would give other numbers
            raise UserError(
                "Precision {precision} needs a GPU: on the CPU choose one of {choices}. {reason}",
                precision=precision,
                choices=", ".join(TRUNKS),
                reason=error.message,
            ) from error
        return on_cpu(bundle, precision, error.message)


def on_cpu(bundle: Bundle, precision: str, reason: Message) -> tuple[Trunk, RuntimeInfo]:
    """Load the trunk of `bundle` on the CPU; a precision that only GPUs have becomes INT8."""
    precision = precision if precision in TRUNKS else "int8"
    trunk = OnnxTrunk(bundle.content[TRUNKS[precision]])
    return trunk, RuntimeInfo("cpu", f"onnxruntime {onnxruntime.__version__}", precision, reason)


def on_gpu(bundle: Bundle, precision: str) -> tuple[Trunk, RuntimeInfo]:
    """Get the engine of `bundle`, which is built at the first call and then shared; "fp32" runs as "fp16".

    Raises:
        DeviceError: The GPU cannot be used.
        UserError: No engine can be built.
    """
    if "clip" in bundle.card["input"]:
        raise UserError("A bundle that takes frames runs on the CPU alone.")
    probe = driver.probe()
    if not probe.gpus:
        raise no_gpu(probe.reason)
    precision = "fp16" if precision == "fp32" else precision
    with _engines_lock:
        if (bundle.sha256, precision) not in _engines:
            _engines[bundle.sha256, precision] = Batcher(load_engine(bundle, precision).embed)
        trunk = _engines[bundle.sha256, precision]
    library = tensorrt.library_version(tensorrt.load_library())
    reason = Message("{gpu}, {driver}", {"gpu": device().gpu.name, "driver": probe.reason})
    return trunk, RuntimeInfo("cuda", library, precision, reason)


def load_engine(bundle: Bundle, precision: str) -> Trunk:
    """Load the engine onto the GPU; one from the cache that does not load is built again."""
    arch = device().gpu.arch
    path, plan = tensorrt.cached_engine(bundle, precision, arch)
    with suppress(DeviceError):
        return create_trunk(bundle, plan)
    path.unlink(missing_ok=True)  # not while the error is handled: it holds the memory that the first try took
    return create_trunk(bundle, tensorrt.cached_engine(bundle, precision, arch)[1])


def create_trunk(bundle: Bundle, plan: bytes) -> Trunk:
    """Run an engine on flow, or on crops if the flow is computed on the GPU as well."""
    if not takes_crops(bundle):
        return tensorrt.TensorRtTrunk(device(), plan)
    return CropTrunk(device(), plan, CropSpec(**bundle.card["input"]["crop"]))


def takes_crops(bundle: Bundle) -> bool:
    """Whether the bundle's flow can be computed on the GPU; its trunk there takes crops instead of flow."""
    needs = bundle.card["input"]
    return "farneback" in needs["flow"] and not needs["apex_px"] and "clip" not in needs


def patch_flow_on_gpu(height: int, width: int) -> Batcher:
    """Get the spotter's patch flow on the GPU, which all cameras share.

    Call it with `before` and `after` (1, H, W) uint8; it returns what engine.patch_flow.patch_flow does. Requests that
    arrive during a run are computed together in the next one, so that none waits for others to arrive.

    Raises:
        DeviceError: There is no GPU.
    """
    with _engines_lock:
        return _patch_flow(height, width)


@lru_cache
def _patch_flow(height: int, width: int) -> Batcher:
    return Batcher(PatchFlow(device(), MAX_SPOTTER_PAIRS, height, width), wait_s=0, max_rows=MAX_SPOTTER_PAIRS)
