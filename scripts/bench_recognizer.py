"""Time of one onset-apex pair on one core: `python scripts/bench_recognizer.py [--bundle FOLDER]` prints JSON.

Times are CPU time of this process in ms, as median and 95th percentile: other processes hardly change them.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.engine.crop import CropSpec
from merau.engine.flow import METHODS, pair_flow
from merau.engine.preprocess import downsample, split_pattern_and_magnitude
from merau.engine.recognizer import Recognizer
from scripts.support.host import processor

REPEATS = 300


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--bundle", type=Path, help="recognizer bundle (default: the shipped one)")
    bundle = parser.parse_args().bundle
    cv2.setNumThreads(1)
    spec = CropSpec()
    onset = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, spec.full, dtype=np.uint8), (0, 0), 1.5)
    apex = np.roll(onset, 1, axis=0)
    pattern, magnitude = split_pattern_and_magnitude(downsample(pair_flow(onset, apex, spec=spec))[None])
    times: dict[str, dict[str, float]] = {
        f"flow and head motion, {method}": timed(lambda method=method: pair_flow(onset, apex, spec=spec, method=method))
        for method in METHODS
    }
    for precision in ("int8", "fp32"):
        recognizer = Recognizer.load(bundle, device="cpu", precision=precision)
        times[f"trunk, {precision}"] = timed(lambda r=recognizer: r.trunk.embed(flow=pattern, magnitude=magnitude))
        times[f"predict, {precision}"] = timed(lambda r=recognizer: r.predict(onset, apex))
    host = {
        "host": platform.platform(),
        "processor": processor(),
        "threads": 1,
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "onnxruntime": onnxruntime.__version__,
        "bundle": recognizer.bundle.name,
        "sha256": recognizer.bundle.sha256,
    }
    print(json.dumps({**host, "ms": times}, indent=2))


def timed(call: Callable[[], object]) -> dict[str, float]:
    """Return the CPU time of a call in ms."""
    for _ in range(10):
        call()
    spent = []
    for _ in range(REPEATS):
        start = time.process_time_ns()
        call()
        spent.append((time.process_time_ns() - start) / 1e6)
    return {"median": round(float(np.median(spent)), 3), "p95": round(float(np.quantile(spent, 0.95)), 3)}


if __name__ == "__main__":
    main()
