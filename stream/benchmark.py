"""How long each stage takes on this machine, measured on the demo clip."""

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
from merau.stream.demo import CLIP
from merau.stream.diagnostics import installed_version
from merau.stream.faces import FaceTracker
from merau.stream.pipeline import Pipeline, PipelineSettings
from merau.stream.sources import File, SourceSettings
from merau.stream.spotter import Spotter
from merau.stream.spotter.flow_backend import FlowBackend
from merau.stream.spotter.span_net import span_net

FRAMES = 600
VERSIONS = ("merau-live", "av", "opencv-python-headless", "ai-edge-litert", "onnxruntime", "numba")


def run_benchmark(recognizer: Recognizer, settings: PipelineSettings, clip: Path = CLIP) -> dict[str, Any]:
    """Time decoding, each stage, and the whole pipeline at full speed, on the first frames of `clip`.

    Args:
        recognizer: Classifies the events.
        settings: Settings of the pipeline.
        clip: A clip of one face.

    Returns:
        The figures as JSON fields, with host and versions.
    """
    return {
        "host": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "versions": {name: installed_version(name) for name in VERSIONS},
        "clip": clip.name,
        "decode": _time_decoding(clip),
        "stages": _time_stages(clip, recognizer, settings),
        "pipeline": _time_pipeline(clip, recognizer, settings),
    }


def _time_decoding(clip: Path) -> dict[str, float]:
    with File(str(clip), SourceSettings()) as source:
        started_s = time.perf_counter()
        frames = sum(1 for _ in islice(source, FRAMES))
    return {"frames_per_s": round(frames / (time.perf_counter() - started_s), 1)}


def _time_stages(clip: Path, recognizer: Recognizer, settings: PipelineSettings) -> dict[str, dict[str, float]]:
    """One aligner and one spotter see every crop, as if the clip showed one face."""
    took_ms: dict[str, list[float]] = defaultdict(list)

    def timed(stage: str, call: Callable[..., Any], *inputs: Any) -> Any:
        started_s = time.perf_counter()
        result = call(*inputs)
        took_ms[stage].append(1000 * (time.perf_counter() - started_s))
        return result

    flow = FlowBackend(recognizer, settings.spotter.crop)
    tracker, aligner = FaceTracker(settings.faces), Aligner(settings.align)
    spotter = Spotter(span_net(recognizer.bundle), settings.spotter, flow)
    with File(str(clip), SourceSettings()) as source:
        for frame in tqdm(islice(source, FRAMES), total=FRAMES, desc="stages", leave=False, disable=None):
            for face in timed("faces", tracker.update, frame):
                if not face.quality.reason:
                    crop = timed("align", aligner.crop, frame, face)
                    for span in timed("spot", spotter.push, crop):
                        timed("recognize", recognizer.predict, span.onset.grey, span.apex.grey)
    return {stage: _statistics(times) for stage, times in took_ms.items()}


def _time_pipeline(clip: Path, recognizer: Recognizer, settings: PipelineSettings) -> dict[str, float]:
    pipeline = Pipeline(clip.name, recognizer, settings)
    took_ms = []
    with File(str(clip), SourceSettings()) as source:
        started_s = time.perf_counter()
        for frame in tqdm(islice(source, FRAMES), total=FRAMES, desc="whole", leave=False, disable=None):
            took_ms.append(pipeline.process(frame).compute_ms)
        elapsed_s = time.perf_counter() - started_s
    return {"frames_per_s": round(len(took_ms) / elapsed_s, 1), **_statistics(took_ms)}


def _statistics(times_ms: list[float]) -> dict[str, float]:
    return {
        "calls": len(times_ms),
        "median_ms": round(float(np.median(times_ms)), 3),
        "p95_ms": round(float(np.percentile(times_ms, 95)), 3),
    }
