"""`merau bench`: how long each stage takes on this machine, on the demo clip."""

import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from merau.engine.recognizer import Recognizer
from merau.stream.align import Aligner
from merau.stream.commands.demo import CLIP
from merau.stream.commands.doctor import installed
from merau.stream.faces import FaceTracker
from merau.stream.pipeline import Pipeline, PipelineSettings
from merau.stream.sources import File, SourceSettings
from merau.stream.spotter import Spotter
from merau.stream.spotter.flow_backend import FlowBackend

FRAMES = 600
VERSIONS = ("merau-live", "av", "opencv-python-headless", "ai-edge-litert", "onnxruntime", "numba")


def bench(recognizer: Recognizer, settings: PipelineSettings, clip: Path = CLIP) -> dict[str, Any]:
    """Decoding alone, each stage alone, then the whole unpaced, on the first frames of `clip`; as JSON."""
    return {
        "host": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "versions": {name: installed(name) for name in VERSIONS},
        "clip": clip.name,
        "decode": _decode(clip),
        "stages": _stages(clip, recognizer, settings),
        "pipeline": _pipeline(clip, recognizer, settings),
    }


def _decode(clip: Path) -> dict[str, float]:
    with File(str(clip), SourceSettings()) as source:
        began_s = time.perf_counter()
        frames = sum(1 for _ in islice(source, FRAMES))
    return {"frames_per_s": round(frames / (time.perf_counter() - began_s), 1)}


def _stages(clip: Path, recognizer: Recognizer, settings: PipelineSettings) -> dict[str, dict[str, float]]:
    """The clip is taken to show one face, so one aligner and one spotter see every crop."""
    took_ms: dict[str, list[float]] = defaultdict(list)

    def timed(stage: str, call: Callable[..., Any], *inputs: Any) -> Any:
        began_s = time.perf_counter()
        result = call(*inputs)
        took_ms[stage].append(1000 * (time.perf_counter() - began_s))
        return result

    flow = FlowBackend(recognizer, settings.spotter.crop)
    tracker, aligner = FaceTracker(settings.faces), Aligner(settings.align)
    spotter = Spotter(settings.spotter, flow=flow)
    with File(str(clip), SourceSettings()) as source:
        for frame in tqdm(islice(source, FRAMES), total=FRAMES, desc="stages", leave=False, disable=None):
            for face in timed("faces", tracker.update, frame):
                if not face.quality.reason:
                    crop = timed("align", aligner.crop, frame, face)
                    for span in timed("spot", spotter.push, crop):
                        timed("recognize", recognizer.predict, span.onset.grey, span.apex.grey)
    return {stage: _spread(times) for stage, times in took_ms.items()}


def _pipeline(clip: Path, recognizer: Recognizer, settings: PipelineSettings) -> dict[str, float]:
    pipeline = Pipeline(clip.name, recognizer, settings)
    took_ms = []
    with File(str(clip), SourceSettings()) as source:
        began_s = time.perf_counter()
        for frame in tqdm(islice(source, FRAMES), total=FRAMES, desc="whole", leave=False, disable=None):
            took_ms.append(pipeline.process(frame).compute_ms)
        elapsed_s = time.perf_counter() - began_s
    return {"frames_per_s": round(len(took_ms) / elapsed_s, 1), **_spread(took_ms)}


def _spread(times_ms: list[float]) -> dict[str, float]:
    return {
        "calls": len(times_ms),
        "median_ms": round(float(np.median(times_ms)), 3),
        "p95_ms": round(float(np.percentile(times_ms, 95)), 3),
    }


def told(result: dict[str, Any]) -> str:
    """The result for a person."""
    rows = [
        f"{result['clip']}, {result['host']['cores']} cores",
        f"{'decode':<10}{result['decode']['frames_per_s']:>8.0f} frames/s",
        *(
            f"{stage:<10}{times['median_ms']:>8.2f} ms median, {times['p95_ms']:.2f} ms p95, {times['calls']} calls"
            for stage, times in (*result["stages"].items(), ("whole", result["pipeline"]))
        ),
        f"{'':<10}{result['pipeline']['frames_per_s']:>8.0f} frames/s, decode to event",
    ]
    return "\n".join(rows)
