"""The GPU path in figures: `python scripts/bench_gpu.py` prints JSON.

Without a GPU: what each kernel takes of each architecture, size and building time of every engine, and the CPU's
milliseconds: the trunk per precision, the spotter's flow of a pair. With one also the times of both flows, of all that
comes before the engine (crops in, the trunk's input on the device), of the engine, and of a whole prediction, alone and
asked for by many cameras at once; Farneback's flow beside the roofline: the time in which the device could at best move
the bytes and do the operations.

CPU times are processor time of this process, GPU times wall time with synchronisation; medians.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine import bundle as bundles
from engine.crop import CropSpec
from engine.cuda import compiler, driver
from engine.cuda.device import Memory, device
from engine.cuda.facial import Facial
from engine.cuda.farneback import Farneback, FarnebackSettings, pyramid
from engine.cuda.patches import PatchFlow
from engine.errors import UserError
from engine.patches import patch_flow, patched
from engine.recognizer import GRID, Recognizer
from engine.runtimes import tensorrt
from engine.runtimes.onnx import OnnxTrunk

ARCHS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_120")
WARMING, REPEATS = 20, 200
PAIRS = (1, 8, 32)
CAMERAS = 16


def main() -> None:
    cv2.setNumThreads(1)
    shipped = {path.name: bundles.load(path) for path in sorted(bundles.SHIPPED.iterdir())}
    bundle, probe = shipped["default"], driver.probe()
    figures = {
        "host": platform.platform(),
        "threads": 1,
        "onnxruntime": onnxruntime.__version__,
        "tensorrt": f"{tensorrt.library().__name__} {tensorrt.library().__version__}",
        "bundles": {name: each.sha256 for name, each in shipped.items()},
        "gpus": [asdict(gpu) for gpu in probe.gpus],
        "kernels": {arch: kernels(arch) for arch in ARCHS},
        "engines": {
            name: {p: {arch: engine(each, p, arch) for arch in ARCHS} for p in tensorrt.GRAPHS}
            for name, each in shipped.items()
        },
        "cpu_ms": {name: trunk_ms(bundle.content[file]) for name, file in bundles.TRUNKS.items()}
        | {"spotter's flow": patches_ms()},
        "gpu_ms": gpu_ms(shipped["farneback"]) if probe.gpus else f"not measured: {probe.why}",
    }
    print(json.dumps(figures, indent=2))


def kernels(arch: str) -> dict[str, dict[str, int]]:
    """Registers, spills, stack and shared memory of each kernel."""
    used = [compiler.compile_source(source, arch)[1] for source in compiler.SOURCES]
    return {name: asdict(usage) for each in used for name, usage in each.items()}


def engine(bundle: bundles.Bundle, precision: str, arch: str) -> dict[str, float] | str:
    """Bytes and seconds, or why there is none."""
    try:
        graph, began_s = tensorrt.graph(bundle, precision), time.perf_counter()
        plan = tensorrt.build(graph, precision, arch)
    except UserError as error:
        return str(error)
    return {"bytes": len(plan), "seconds": round(time.perf_counter() - began_s, 2)}


def trunk_ms(model: bytes) -> float:
    trunk, inputs = OnnxTrunk(model), example(1)
    return median_ms(lambda: trunk.embed(**inputs), time.process_time_ns)


def patches_ms() -> float:
    """The spotter's flow between two pictures that are prepared, as each is once a frame."""
    noise = np.random.default_rng(0).integers(0, 255, CropSpec().full, dtype=np.uint8)
    before = cv2.GaussianBlur(noise, (0, 0), 1.5)
    pair = patched(before), patched(np.roll(before, 1, axis=0))
    return median_ms(lambda: patch_flow(*pair), time.process_time_ns)


def example(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    flow, magnitude = rng.normal(0, 1, (rows, 2, 32, 32)), rng.normal(0, 1, (rows, 1))
    return {"flow": flow.astype(np.float32), "magnitude": magnitude.astype(np.float32)}


def gpu_ms(bundle: bundles.Bundle) -> dict[str, Any]:
    """On the first GPU: flow of full crops with copies there and back, the trunk's input, engine, prediction."""
    height, width = CropSpec().full
    crops = np.random.default_rng(0).integers(0, 255, (2, max(PAIRS), height, width), dtype=np.uint8)
    parts = ("flow", "spotter's flow", "trunk's input", "engine", "predict", "pairs/s")
    figures: dict[str, Any] = {part: {} for part in parts}
    for pairs in PAIRS:
        farneback = Farneback(device(), pairs, height, width)
        spent = median_ms(lambda f=farneback, n=pairs: f(crops[0, :n], crops[1, :n]), time.perf_counter_ns)
        figures["flow"][f"{pairs} pairs"] = {"measured": spent, "roofline": round(roofline_ms(pairs, height, width), 4)}
        farneback.close()
        figures["trunk's input"][f"{pairs} pairs"] = input_ms(crops[:, :pairs])
        figures["spotter's flow"][f"{pairs} pairs"] = spotted_ms(crops[:, :pairs])
    for precision in tensorrt.GRAPHS:
        try:
            plan = tensorrt.cached_engine(bundle, precision, device().gpu.arch)[1]
        except UserError as error:
            figures["engine"][precision] = str(error)
            continue
        trunk = tensorrt.TensorRtTrunk(device(), plan)
        figures["engine"][precision] = {f"{n} pairs": engine_ms(trunk, n) for n in PAIRS}
        trunk.close()
        recognizer = Recognizer.load(device="cuda", precision=precision)
        one = (recognizer.predict, crops[0, 0], crops[1, 0])
        figures["predict"][precision] = median_ms(partial(*one), time.perf_counter_ns)
        figures["pairs/s"][f"{precision}, {CAMERAS} cameras"] = pairs_per_s(recognizer, *crops[:, 0])
    return figures


def input_ms(crops: np.ndarray) -> float:
    """From crops (2, N, H, W) uint8 on the host to pattern and magnitude on the device."""
    facial = Facial(device(), crops.shape[1], CropSpec())
    with device().current("timing"):
        memory = Memory(device())
        pattern, magnitude = memory.on_device(crops.shape[1], 2, GRID, GRID), memory.on_device(crops.shape[1], 1)

        def prepare() -> None:
            facial.on_device(crops[0], crops[1], pattern, magnitude, memory.stream)
            memory.stream.synchronize()

        spent = median_ms(prepare, time.perf_counter_ns)
    facial.close()
    memory.close()
    return spent


def spotted_ms(crops: np.ndarray) -> float:
    """The spotter's flow, with copies there and back."""
    patches = PatchFlow(device(), *crops.shape[1:])
    spent = median_ms(lambda: patches(before=crops[0], after=crops[1]), time.perf_counter_ns)
    patches.close()
    return spent


def pairs_per_s(recognizer: Recognizer, onset: np.ndarray, apex: np.ndarray) -> float:
    """Predictions a second of threads that ask without a pause, a recognizer to each, one engine behind them."""
    recognizers = [
        Recognizer(recognizer.bundle, device="cuda", precision=recognizer.choice.precision) for _ in range(CAMERAS)
    ]
    with ThreadPoolExecutor(CAMERAS) as cameras:
        began_s = time.perf_counter()
        list(cameras.map(lambda r: [r.predict(onset, apex) for _ in range(REPEATS)], recognizers))
        return round(CAMERAS * REPEATS / (time.perf_counter() - began_s))


def engine_ms(trunk: tensorrt.TensorRtTrunk, rows: int) -> float:
    inputs = example(rows)
    return median_ms(lambda: trunk.embed(**inputs), time.perf_counter_ns)


def roofline_ms(pairs: int, height: int, width: int) -> float:
    """The larger of bytes over bandwidth and operations over peak rate, each kernel reading and writing once."""
    settings = FarnebackSettings()
    moved = operations = 0.0
    for h, w in pyramid(height, width, settings):
        shrunk = 2 * (height * width + 4 * (2 * height * w + h * w))
        expanded = 2 * 4 * (1 + 5) * h * w
        iterated = settings.iterations * 4 * ((5 + 5 + 2 + 5) + (5 + 2)) * h * w
        moved += pairs * (shrunk + expanded + iterated)
        fitted = 2 * settings.poly_px * (7 + 13)
        averaged = settings.iterations * (80 + 5 * 2 * settings.window_px)
        operations += pairs * (fitted + averaged) * h * w
    gpu = device().cuda.Device(0)
    cores = 64 if device().gpu.arch in ("sm_75", "sm_80") else 128  # to a multiprocessor
    bandwidth = 2 * 1e3 * gpu.memory_clock_rate * gpu.global_memory_bus_width / 8
    rate = 2 * 1e3 * gpu.clock_rate * gpu.multiprocessor_count * cores
    return 1e3 * max(moved / bandwidth, operations / rate)


def median_ms(call: Callable[[], object], clock_ns: Callable[[], int]) -> float:
    for _ in range(WARMING):
        call()
    spent = []
    for _ in range(REPEATS):
        began = clock_ns()
        call()
        spent.append((clock_ns() - began) / 1e6)
    return round(statistics.median(spent), 4)


if __name__ == "__main__":
    main()
