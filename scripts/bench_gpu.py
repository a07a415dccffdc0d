"""Figures of the GPU path: `python scripts/bench_gpu.py` prints JSON.

Without a GPU: the resources of each kernel by architecture; the differences of flow, trunk input and spotter's flow
from the CPU's, on the stub driver; size and build time of every engine; scores of each precision and its CPU time in
ONNX Runtime; bytes and operations of each step. With a GPU also the times of both flows, of the whole preprocessing
(crops in, trunk input on the device), of the engine, and of a prediction, alone and with many cameras at once. Beside
each time stands its roofline: the least time in which the device could move the bytes, with each kernel reading and
writing once, and do the operations. Copies from and to the host are not in it.

`make test` installs what this script needs. `--part NAME...` prints some of the figures only. CPU times are CPU time of
this process, GPU times are wall time with synchronization; all are medians.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import onnx
import onnxruntime

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.calib.quantize import quantization_error, run_trunk
from merau.engine import bundle as bundles
from merau.engine.bundle_arrays import read_head
from merau.engine.crop import CropSpec
from merau.engine.cuda import driver, nvrtc
from merau.engine.cuda.device import Memory, device
from merau.engine.cuda.farneback import Farneback, FarnebackSettings, pyramid, smoothing
from merau.engine.cuda.patch_flow import PatchFlow
from merau.engine.cuda.preprocess import PairPreprocessor
from merau.engine.errors import UserError
from merau.engine.flow import face_cells, pair_flow
from merau.engine.patch_flow import FULL, SIDE, STEPS, STRIDE, build_pyramid, patch_flow
from merau.engine.preprocess import GRID, downsample, split_pattern_and_magnitude
from merau.engine.recognizer import Recognizer
from merau.engine.runtimes import tensorrt
from merau.engine.runtimes.onnx import OnnxTrunk
from scripts.support.flow_cases import CROP_SPECS, FLOW_CASES, face_pair, opencv_farneback

ARCHS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_120")
DRAWN_SEED = 4242  # of the generated flows on which each precision is scored
WARM_UP, REPEATS = 20, 200
PAIRS = (1, 8, 32)
CAMERAS = 16
TENSOR_RATE = {
    "sm_80": 1024,
    "sm_90": 2048,
}  # FP16 multiply-adds per clock and multiprocessor; others: 512
WEIGHT_BYTES = {"fp16": 2, "int8": 1, "fp8": 1}


@dataclass(frozen=True)
class Work:
    """The least work of a step.

    Attributes:
        bytes: Bytes to read and write.
        operations: Operations outside the tensor cores.
        tensor: FP16 operations of the tensor cores.
        narrow: INT8 or FP8 operations of the tensor cores, which run at twice the rate.
    """

    bytes: float = 0
    operations: float = 0
    tensor: float = 0
    narrow: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __rmul__(self, times: int) -> "Work":
        return Work(*(times * each for each in astuple(self)))


def main() -> None:
    """Print the parts that were asked for."""
    cv2.setNumThreads(1)
    shipped = {path.name: bundles.load(path) for path in sorted(bundles.SHIPPED.iterdir())}
    probe = driver.probe()
    parts: dict[str, Callable[[], Any]] = {
        "kernels": lambda: {arch: kernels(arch) for arch in ARCHS},
        "differences": differences if probe.gpus else differences_on_stub,
        "engines": lambda: {
            name: {p: {arch: engine(each, p, arch) for arch in ARCHS} for p in tensorrt.GRAPHS}
            for name, each in shipped.items()
        },
        "accuracy": lambda: {name: accuracy(each) for name, each in shipped.items()},
        "cpu_ms": lambda: cpu_ms(shipped["default"]),
        "work": lambda: work(shipped["default"]),
        "gpu_ms": lambda: gpu_ms(shipped["default"]) if probe.gpus else f"not measured: {probe.reason}",
    }
    parser = argparse.ArgumentParser(description="The GPU path in figures, as JSON.")
    parser.add_argument("--part", nargs="+", choices=parts, default=list(parts), help="figures to print (default: all)")
    figures = {
        "host": platform.platform(),
        "threads": 1,
        "onnxruntime": onnxruntime.__version__,
        "tensorrt": tensorrt.library_version(tensorrt.load_library()),
        "bundles": {name: each.sha256 for name, each in shipped.items()},
        "gpus": [asdict(gpu) for gpu in probe.gpus],
    }
    print(json.dumps(figures | {name: parts[name]() for name in parser.parse_args().part}, indent=2))


def kernels(arch: str) -> dict[str, dict[str, int]]:
    """Return registers, spills, stack and shared memory of each kernel."""
    used = [nvrtc.compile_source(source, arch)[1] for source in nvrtc.SOURCES]
    return {name: asdict(usage) for each in used for name, usage in each.items()}


def engine(bundle: bundles.Bundle, precision: str, arch: str) -> dict[str, float] | str:
    """Return size and build time of an engine, or why there is none."""
    try:
        graph, began_s = tensorrt.engine_graph(bundle, precision), time.perf_counter()
        plan = tensorrt.build_engine(graph, precision, arch)
    except UserError as error:
        return str(error)
    return {"bytes": len(plan), "seconds": round(time.perf_counter() - began_s, 2)}


def differences_on_stub() -> dict[str, Any]:
    """Return `differences` of another process, whose driver runs the kernels on the CPU."""
    from scripts.support.stub_driver.build import build

    with TemporaryDirectory() as folder:
        build(Path(folder))
        code = "import json; from scripts.bench_gpu import differences; print(json.dumps(differences()))"
        environment = os.environ | {"LD_LIBRARY_PATH": folder, "XDG_CACHE_HOME": f"{folder}/cache"}
        command, root = [sys.executable, "-c", code], Path(__file__).parents[1]
        done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, check=True)
    return {"on": "the stub driver"} | json.loads(done.stdout)


def differences() -> dict[str, Any]:
    """Return the differences between device and CPU on the images and sizes of the tests."""

    def crops(count: int, size: tuple[int, int]) -> np.ndarray:
        return np.stack([face_pair(seed, *size) for seed in range(count)], axis=1)

    flows, inputs, spotted = {}, {}, {}
    for name, (size, settings) in FLOW_CASES.items():
        onset, apex = crops(2, size)
        farneback = Farneback(device(), 2, *size, settings)
        true = np.stack([opencv_farneback(*each, settings) for each in zip(onset, apex, strict=True)])
        flows[f"{name}: {size[0]}x{size[1]}"] = end_point_difference(farneback(onset, apex), true)
        farneback.close()
    for spec in CROP_SPECS:
        onset, apex = crops(2, spec.full)
        each = zip(onset, apex, strict=True)
        true = split_pattern_and_magnitude(
            np.stack([downsample(pair_flow(*one, spec=spec, method="farneback")) for one in each])
        )
        columns = zip(("pattern", "magnitude"), trunk_input(onset, apex, spec), true, strict=True)
        inputs["{}x{}".format(*spec.full)] = {name: float(np.abs(a - b).max()) for name, a, b in columns}
    for size in ((180, 168), (61, 75)):
        before, after = crops(3, size)
        patches = PatchFlow(device(), 3, *size)
        seen = patches(before=before, after=after)[0]
        patches.close()
        true = np.stack([patch_flow(*map(build_pyramid, one))[0] for one in zip(before, after, strict=True)])
        spotted[f"{size[0]}x{size[1]}"] = end_point_difference(seen, true)
    return {"flow, px": flows, "trunk's input": inputs, "spotter's flow, px": spotted}


def end_point_difference(seen: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return the end-point differences of fields (N, 2, H, W)."""
    distance = np.hypot(*np.moveaxis(seen - true, 1, 0))
    return {
        "mean": float(distance.mean()),
        "median": float(np.median(distance)),
        "p99": float(np.quantile(distance, 0.99)),
    }


def trunk_input(onset: np.ndarray, apex: np.ndarray, spec: CropSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return pattern and magnitude of crops (N, H, W) uint8, computed on the device."""
    preprocessor = PairPreprocessor(device(), len(onset), spec)
    with device().current("comparing"):
        memory = Memory(device())
        hosts = memory.pinned(len(onset), 2, GRID, GRID), memory.pinned(len(onset), 1)
        addresses = [memory.allocate(*host.shape) for host in hosts]
        preprocessor.enqueue(onset, apex, *addresses, memory.stream)
        for host, address in zip(hosts, addresses, strict=True):
            device().cuda.memcpy_dtoh_async(host, address, memory.stream)
        memory.stream.synchronize()
        pattern, magnitude = (host.copy() for host in hosts)
    preprocessor.close()
    memory.close()
    return pattern, magnitude


def accuracy(bundle: bundles.Bundle) -> dict[str, dict[str, float]]:
    """Return UF1, Action Unit AUC and cosine of the embedding of each precision, on generated flow."""
    from merau.trainers.data.synth.flow_fields import concatenate
    from merau.trainers.evaluate.synthetic import combinations_of
    from merau.trainers.export.bundle import make_scorer, trunk_inputs
    from merau.trainers.learn.fusion import FlowTraining
    from merau.trainers.learn.synthetic import SyntheticTraining, calibration_flows

    drawn = SyntheticTraining(FlowTraining(seed=DRAWN_SEED), combinations=combinations_of(bundle))
    data = concatenate(calibration_flows(drawn))
    inputs, score = trunk_inputs(0, data.flow, known=data.known), make_scorer(read_head(bundle), data)
    outputs = {p: run_trunk(onnx.load_from_string(model), inputs, p) for p, model in graphs(bundle).items()}
    errors = {precision: quantization_error(outputs["fp32"], each, score) for precision, each in outputs.items()}
    return {
        precision: {"cosine": round(each.cosine, 5)} | {key: round(pair[1], 4) for key, pair in each.scores.items()}
        for precision, each in errors.items()
    }


def graphs(bundle: bundles.Bundle) -> dict[str, bytes]:
    """Return the trunk of each precision for ONNX Runtime."""
    exact = bundle.content[bundles.TRUNKS["fp32"]]
    int8, fp8 = bundle.content[bundles.TRUNKS["int8"]], bundle.content[bundles.EXTRA_TRUNKS["fp8"]]
    return {"fp32": exact, "fp16": tensorrt.to_fp16(exact), "int8": int8, "fp8": fp8}


def cpu_ms(bundle: bundles.Bundle) -> dict[str, float]:
    """Return the CPU time of a pair on one core."""
    trunks = {p: OnnxTrunk(model, allow_fusions=p != "fp8") for p, model in graphs(bundle).items()}
    inputs = example(1)
    spent = {p: median_ms(partial(trunk.embed, **inputs), time.process_time_ns) for p, trunk in trunks.items()}
    return spent | {"spotter's flow": patches_ms()}


def work(bundle: bundles.Bundle) -> dict[str, dict[str, float]]:
    """Return bytes and operations of a pair; the engine's include the weights, which a batch reads once."""
    spec, exact = CropSpec(), bundle.content[bundles.TRUNKS["fp32"]]
    steps = {
        "flow": flow_work(*spec.full),
        "spotter's flow": spotter_work(*spec.full),
        "trunk's input": input_work(spec),
    }
    engines = {f"engine, {p}": sum(engine_work(exact, p), Work()) for p in tensorrt.GRAPHS}
    return {name: counted(each) for name, each in (steps | engines).items()}


def counted(work: Work) -> dict[str, float]:
    """Return all bytes and all operations."""
    return {"bytes": round(work.bytes), "operations": round(work.operations + work.tensor + work.narrow)}


def patches_ms() -> float:
    """Return the CPU time of the spotter's flow between two pyramids, which are built once per frame."""
    noise = np.random.default_rng(0).integers(0, 255, CropSpec().full, dtype=np.uint8)
    before = cv2.GaussianBlur(noise, (0, 0), 1.5)
    pair = build_pyramid(before), build_pyramid(np.roll(before, 1, axis=0))
    return median_ms(lambda: patch_flow(*pair), time.process_time_ns)


def example(rows: int) -> dict[str, np.ndarray]:
    """Return random inputs of a trunk."""
    rng = np.random.default_rng(0)
    flow, magnitude = rng.normal(0, 1, (rows, 2, 32, 32)), rng.normal(0, 1, (rows, 1))
    return {"flow": flow.astype(np.float32), "magnitude": magnitude.astype(np.float32)}


def gpu_ms(bundle: bundles.Bundle) -> dict[str, Any]:
    """Measure on the first GPU: both flows with copies, the trunk input, the engine, a prediction."""
    spec = CropSpec()
    height, width = spec.full
    crops = np.random.default_rng(0).integers(0, 255, (2, max(PAIRS), height, width), dtype=np.uint8)
    parts = ("flow", "spotter's flow", "trunk's input", "engine", "predict", "pairs/s")
    figures: dict[str, Any] = {part: {} for part in parts}
    for pairs in PAIRS:
        farneback = Farneback(device(), pairs, height, width)
        spent = median_ms(lambda f=farneback, n=pairs: f(crops[0, :n], crops[1, :n]), time.perf_counter_ns)
        farneback.close()
        some, name = crops[:, :pairs], f"{pairs} pairs"
        figures["flow"][name] = with_roofline(spent, pairs * flow_work(height, width))
        figures["spotter's flow"][name] = with_roofline(spotter_ms(some), pairs * spotter_work(height, width))
        figures["trunk's input"][name] = with_roofline(input_ms(some), pairs * input_work(spec))
    for precision in tensorrt.GRAPHS:
        try:
            plan = tensorrt.cached_engine(bundle, precision, device().gpu.arch)[1]
        except UserError as error:
            figures["engine"][precision] = str(error)
            continue
        weights, each = engine_work(bundle.content[bundles.TRUNKS["fp32"]], precision)
        trunk = tensorrt.TensorRtTrunk(device(), plan)
        figures["engine"][precision] = {
            f"{n} pairs": with_roofline(engine_ms(trunk, n), weights + n * each) for n in PAIRS
        }
        trunk.close()
        recognizer = Recognizer.load(device="cuda", precision=precision)
        one = (recognizer.predict, crops[0, 0], crops[1, 0])
        spent = median_ms(partial(*one), time.perf_counter_ns)
        figures["predict"][precision] = with_roofline(spent, input_work(spec) + weights + each)
        figures["pairs/s"][f"{precision}, {CAMERAS} cameras"] = pairs_per_s(recognizer, *crops[:, 0])
    return figures


def input_ms(crops: np.ndarray) -> float:
    """Time the way from crops (2, N, H, W) uint8 on the host to pattern and magnitude on the device."""
    preprocessor = PairPreprocessor(device(), crops.shape[1], CropSpec())
    with device().current("timing"):
        memory = Memory(device())
        pattern, magnitude = memory.allocate(crops.shape[1], 2, GRID, GRID), memory.allocate(crops.shape[1], 1)

        def prepare() -> None:
            preprocessor.enqueue(crops[0], crops[1], pattern, magnitude, memory.stream)
            memory.stream.synchronize()

        spent = median_ms(prepare, time.perf_counter_ns)
    preprocessor.close()
    memory.close()
    return spent


def spotter_ms(crops: np.ndarray) -> float:
    """Time the spotter's flow, with copies to the device and back."""
    patches = PatchFlow(device(), *crops.shape[1:])
    spent = median_ms(lambda: patches(before=crops[0], after=crops[1]), time.perf_counter_ns)
    patches.close()
    return spent


def pairs_per_s(recognizer: Recognizer, onset: np.ndarray, apex: np.ndarray) -> float:
    """Return predictions per second of many threads without pause, each with a recognizer, on one engine."""
    recognizers = [
        Recognizer(recognizer.bundle, device="cuda", precision=recognizer.runtime.precision) for _ in range(CAMERAS)
    ]
    with ThreadPoolExecutor(CAMERAS) as cameras:
        began_s = time.perf_counter()
        list(cameras.map(lambda r: [r.predict(onset, apex) for _ in range(REPEATS)], recognizers))
        return round(CAMERAS * REPEATS / (time.perf_counter() - began_s))


def engine_ms(trunk: tensorrt.TensorRtTrunk, rows: int) -> float:
    """Time the engine."""
    inputs = example(rows)
    return median_ms(lambda: trunk.embed(**inputs), time.perf_counter_ns)


def flow_work(height: int, width: int) -> Work:
    """Return the work of Farneback's flow of a pair."""
    settings, work = FarnebackSettings(), Work()
    for level, (h, w) in enumerate(pyramid(height, width, settings)):
        taps = 2 * smoothing(settings.scale**level)[1] + 1
        shrunk = Work(2 * (height * width + 4 * (2 * height * w + h * w)), 2 * 4 * taps * (height * w + h * w))
        expanded = Work(2 * 4 * (1 + 5) * h * w, 2 * 2 * settings.poly_px * (7 + 13) * h * w)
        equated = Work(4 * (5 + 5 + 2 + 5) * h * w, 80 * h * w)
        solved = Work(4 * (5 + 2) * h * w, 5 * 2 * 2 * settings.window_px * h * w)
        work += shrunk + expanded + settings.iterations * (equated + solved)
    return work


def input_work(spec: CropSpec) -> Work:
    """Return the work from the crops of a pair to the trunk input."""
    (height, width), cells, inner = spec.full, len(face_cells(spec)), spec.size_px**2
    fitted = Work(cells * (7 * 7 + 4 * (2 + 5 * 4)), cells * (25 * 16 + 5 * (22 * 3 + 20 + 3 * cells)))
    removed = Work(4 * (2 + 4 + 2) * inner, 16 * inner)
    normalised = Work(4 * (2 * inner + 2 * GRID**2), 2 * inner + 2 * 3 * GRID**4)
    return flow_work(height, width) + fitted + removed + normalised


def spotter_work(height: int, width: int) -> Work:
    """Return the work of the spotter's flow of a pair; each patch takes all steps."""
    halved = Work(2 * (height * width + (2 * 4 + 4) * height * width / 4), 2 * 5 * height * width / 4)
    patches = height * width / (FULL * STRIDE) ** 2 * (1 + 1 / 4)  # of both levels
    return halved + Work(4 * 3 * patches, patches * SIDE**2 * (25 + STEPS * 30))


def engine_work(model: bytes, precision: str) -> tuple[Work, Work]:
    """Return the work for the weights, which a batch reads once, and for each pair, counted on the FP32 graph."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    sizes = {weight.name: math.prod(weight.dims) for weight in graph.initializer}
    shapes = {known.name: [d.dim_value for d in known.type.tensor_type.shape.dim] for known in graph.value_info}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    multiplied = sum(sizes.get(n.input[1], 0) * math.prod(shapes.get(n.output[0], [])[2:]) for n in layers)
    ends = [end.type.tensor_type.shape.dim for end in (*graph.input, *graph.output)]
    moved = 4 * sum(math.prod(d.dim_value or 1 for d in end) for end in ends)
    kind = "tensor" if precision == "fp16" else "narrow"
    return Work(WEIGHT_BYTES[precision] * sum(sizes.values())), Work(moved, **{kind: 2 * multiplied})


def with_roofline(measured_ms: float, work: Work) -> dict[str, float]:
    """Return a time beside its roofline."""
    gpu, arch = device().cuda.Device(0), device().gpu.arch
    cores = 64 if arch in ("sm_75", "sm_80") else 128  # per multiprocessor
    bandwidth = 2 * 1e3 * gpu.memory_clock_rate * gpu.global_memory_bus_width / 8
    clocks = 1e3 * gpu.clock_rate * gpu.multiprocessor_count
    tensor = work.tensor + work.narrow / 2
    computing = work.operations / (2 * clocks * cores) + tensor / (2 * clocks * TENSOR_RATE.get(arch, 512))
    at_best_ms = round(1e3 * max(work.bytes / bandwidth, computing), 5)
    return {"measured": measured_ms, "roofline": at_best_ms} | counted(work)


def median_ms(call: Callable[[], object], clock_ns: Callable[[], int]) -> float:
    """Time a call after some warm-up calls."""
    for _ in range(WARM_UP):
        call()
    spent = []
    for _ in range(REPEATS):
        began = clock_ns()
        call()
        spent.append((clock_ns() - began) / 1e6)
    return round(statistics.median(spent), 4)


if __name__ == "__main__":
    main()
