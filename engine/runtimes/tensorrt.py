"""A trunk as a TensorRT engine, run with pycuda.

Works with `tensorrt`, for servers, and with `tensorrt_rtx`, whose wheel installs anywhere and builds without a GPU.

Since TensorRT 11 each layer has the precision of the ONNX graph: FP16 is a graph in half precision; INT8 and FP8 are
graphs with Q/DQ pairs (calib/quantize.py), whose other layers are in half precision for INT8 and single for FP8.
"""

import hashlib
import importlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from merau.engine import cache
from merau.engine.bundle import EXTRA_TRUNKS, TRUNKS, Bundle
from merau.engine.cuda import driver
from merau.engine.cuda.device import Device, Memory
from merau.engine.errors import DeviceError, UserError
from merau.engine.runtimes.batching import TrunkOutput, check_inputs
from merau.engine.runtimes.onnx import OUTPUTS

LIBRARIES = {"tensorrt": 11, "tensorrt_rtx": 1}  # with the first version that works as described above
OLDEST_SM = {"fp16": 75, "int8": 75, "fp8": 89}  # lowest compute capability at which TensorRT has the precision
GRAPHS = {"fp16": "fp32", "int8": "int8", "fp8": "fp8"}  # precision of the bundle's trunk for each engine
TYPICAL_BATCH, MAX_BATCH = 8, 64
WORKSPACE_BYTES = 256 << 20
# Engines take under a second to build, so that any change of this file may rebuild them.
RECIPE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]


class TensorRtTrunk:
    """An engine on a device, with a stream and buffers of its own. Call `embed` from one thread at a time.

    Attributes:
        address: Address of each input and output on the device, by name.
        stream: The stream that it runs in.

    Raises:
        DeviceError: The engine does not load; the caller builds it again or uses the CPU.
    """

    def __init__(self, device: Device, plan: bytes) -> None:
        trt, self._device = load_library(), device
        with device.current("loading a TensorRT engine"):
            self._log = _new_log(trt)
            runtime = trt.Runtime(self._log)
            self._engine = runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise DeviceError(f"{device.gpu.name} cannot load the TensorRT engine: {self._log.drain()}")
            self._runtime, self._memory = runtime, Memory(device)
            self.stream = self._memory.stream
            self._context = self._engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
            if self._context is None:
                raise DeviceError(f"{device.gpu.name} cannot run the TensorRT engine: {self._log.drain()}")
            scratch_bytes = max(self._engine.device_memory_size_v2, 1)
            self._context.set_device_memory(self._memory.allocate(scratch_bytes, dtype=np.uint8), scratch_bytes)
            self._host: dict[str, np.ndarray] = {}  # by the names of the engine's inputs and outputs
            self.address: dict[str, int] = {}
            for name in (self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)):
                shape = tuple(self._engine.get_tensor_shape(name))[1:]
                with device.driver_errors(f"making room for {name!r}"):
                    self._host[name] = self._memory.pinned(MAX_BATCH, *shape)
                    self.address[name] = self._memory.allocate(MAX_BATCH, *shape)
                self._context.set_tensor_address(name, self.address[name])
            self._inputs = [name for name in self.address if name not in OUTPUTS]

    def embed(self, **inputs: np.ndarray) -> TrunkOutput:
        """Run the engine as OnnxTrunk.embed does; more than MAX_BATCH rows take several runs."""
        check_inputs(inputs, {name: self._host[name].shape[1:] for name in self._inputs})
        parts = []
        for start in range(0, len(inputs["flow"]), MAX_BATCH):
            parts.append(self._embed_batch({name: value[start : start + MAX_BATCH] for name, value in inputs.items()}))
        embedding, au_logits = (np.concatenate(column) for column in zip(*parts, strict=True))
        return embedding, au_logits

    def _embed_batch(self, inputs: dict[str, np.ndarray]) -> TrunkOutput:
        count = len(inputs["flow"])
        with self._device.current("recognition"):
            for name, value in inputs.items():
                self._host[name][:count] = value
                self._device.cuda.memcpy_htod_async(self.address[name], self._host[name][:count], self.stream)
            return self.infer(count)

    def infer(self, count: int) -> TrunkOutput:
        """Run on the first `count` rows at the inputs' `address`, once `stream` has filled them.

        Call it within `Device.current`.
        """
        for name in self._inputs:
            shape = (count, *self._host[name].shape[1:])
            if not self._context.set_input_shape(name, shape):
                raise DeviceError(f"The engine refuses input {name!r} of shape {shape}.")
        if not self._context.execute_async_v3(self.stream.handle):
            why = self._log.drain()
            raise DeviceError(f"{self._device.gpu.name} failed at recognition: the engine did not run: {why}")
        for name in OUTPUTS:
            self._device.cuda.memcpy_dtoh_async(self._host[name][:count], self.address[name], self.stream)
        self.stream.synchronize()
        embedding, au_logits = (self._host[name][:count].copy() for name in OUTPUTS)
        return embedding, au_logits

    def close(self) -> None:
        """Release the device's memory."""
        self._context = self._engine = self._runtime = None
        self._memory.close()


def cached_engine(bundle: Bundle, precision: str, arch: str, *, folder: Path | None = None) -> tuple[Path, bytes]:
    """Read an engine from the cache, or build it if it is missing or damaged.

    Its name states everything it depends on: bundle, TensorRT's version, architecture, precision and this module.

    Args:
        bundle: The bundle.
        precision: "fp16", "int8" or "fp8".
        arch: Architecture of the GPU, such as "sm_89".
        folder: Where to keep engines. Default: the user's cache folder.

    Returns:
        The engine's path and bytes.

    Raises:
        UserError: The engine cannot be built, or not be written.
    """
    trt = load_library()
    name = f"{bundle.sha256[:16]}-{trt.__name__}-{trt.__version__}-{arch}-{precision}-{RECIPE}.engine"
    path = (folder or cache.folder() / "engines") / name
    plan = cache.read(path)
    if plan is None:
        plan = build_engine(engine_graph(bundle, precision), precision, arch)
        cache.write(path, plan)
    return path, plan


def engine_graph(bundle: Bundle, precision: str) -> bytes:
    """Make the ONNX graph for an engine of `precision`; its inputs and outputs are float32."""
    if precision not in GRAPHS:
        raise UserError(f"Precision is {precision!r}: choose one of {', '.join(GRAPHS)}.")
    trunk = (TRUNKS | EXTRA_TRUNKS)[GRAPHS[precision]]
    if trunk not in bundle.content:
        raise UserError(f"Bundle {bundle.name} has no {trunk}: merau-lab quantize --precision {precision} writes it.")
    return bundle.content[trunk] if precision == "fp8" else to_fp16(bundle.content[trunk])


def to_fp16(model: bytes) -> bytes:
    """Convert an ONNX model to half precision, including the scales of Q/DQ pairs."""
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise DeviceError(f"Building an engine needs onnx ({error}): pip install 'merau-live[gpu]'.") from error
    converted = convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True)
    return bytes(converted.SerializeToString())


def build_engine(model: bytes, precision: str, arch: str) -> bytes:
    """Build an engine for batches up to MAX_BATCH.

    Args:
        model: ONNX graph from `engine_graph`.
        precision: "fp16", "int8" or "fp8".
        arch: Architecture of the GPU, such as "sm_89".

    Raises:
        UserError: TensorRT cannot build it.
    """
    trt = load_library()
    if not (number := re.fullmatch(r"sm_(\d+)", arch)):
        raise UserError(f"Architecture is {arch!r}: write it like sm_89.")
    if int(number[1]) < OLDEST_SM[precision]:
        raise UserError(f"TensorRT has no {precision.upper()} for {arch}: it begins with sm_{OLDEST_SM[precision]}.")
    log = _new_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        raise UserError(f"TensorRT cannot read the trunk: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    _set_target(trt, config, arch)
    profile = builder.create_optimization_profile()
    for given in (network.get_input(i) for i in range(network.num_inputs)):
        shape = tuple(given.shape)[1:]
        profile.set_shape(given.name, (1, *shape), (TYPICAL_BATCH, *shape), (MAX_BATCH, *shape))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise UserError(f"{library_version(trt)} cannot build {precision.upper()} for {arch}: {log.drain()}")
    return bytes(plan)


def _set_target(trt: Any, config: Any, arch: str) -> None:
    """Build for `arch` on any machine; TensorRT for servers only builds for the machine's own GPU."""
    if not hasattr(trt, "ComputeCapability"):
        here = [gpu.arch for gpu in driver.probe().gpus]
        if arch not in here[:1]:
            raise UserError(
                f"{library_version(trt)} builds only for the GPU of this machine ({', '.join(here[:1]) or 'none'}), "
                f"not {arch}."
            )
        return
    capability = getattr(trt.ComputeCapability, arch.replace("sm_", "SM"), None)
    if capability is None:
        known = [f"sm_{name[2:]}" for name in sorted(dir(trt.ComputeCapability)) if name.startswith("SM")]
        raise UserError(
            f"{library_version(trt)} builds for {', '.join(known)}, not {arch}: "
            "install TensorRT 11 on a machine with such a GPU."
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(capability, 0)


@lru_cache
def load_library() -> Any:
    """Import `tensorrt` or else `tensorrt_rtx`.

    Raises:
        DeviceError: Neither is installed, or they are too old.
    """
    for name, oldest in LIBRARIES.items():
        try:
            found = importlib.import_module(name)
        except (ImportError, OSError):
            continue
        if int(found.__version__.split(".")[0]) >= oldest:
            return found
    raise DeviceError("TensorRT 11 or TensorRT for RTX is missing: pip install 'merau-live[gpu]'.")


def library_version(trt: Any) -> str:
    """Name and version of an imported TensorRT."""
    return f"{trt.__name__} {trt.__version__}"


@lru_cache
def _log_class(trt: Any) -> type:
    class Log(trt.ILogger):
        """Keeps TensorRT's errors for a message instead of printing them."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, line: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.lines.append(line)

        def drain(self) -> str:
            text = " ".join(self.lines).rstrip(".") or "TensorRT gives no reason"
            self.lines.clear()
            return f"{text}."

    return Log


def _new_log(trt: Any) -> Any:
    return _log_class(trt)()
