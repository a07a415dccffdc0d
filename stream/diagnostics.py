"""What this machine has for merau: cameras, codecs, packages, GPU, and the bundle that runs."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime

from merau.calib.domain import MIN_SAMPLES, domain_distance, domain_embeddings
from merau.engine import bundle as bundles
from merau.engine.cuda import driver
from merau.engine.recognizer import Recognizer
from merau.stream.scheduling import count_cores
from merau.stream.sources.webcams import SYSTEMS, camera_names
from merau.stream.spotter.flow_backend import FlowBackend
from merau.stream.store import read_events, read_sessions

RUNTIMES = ("merau-live", "av", "opencv-python-headless", "numpy", "numba", "ai-edge-litert", "onnxruntime", "pyarrow")
OPTIONAL = ("insightface", "nvidia-cuda-nvrtc", "pycuda", "tensorrt", "tensorrt-rtx", "torch")
CODECS = ("h264", "hevc", "vp9", "av1", "mjpeg")


def examine(bundle_path: Path | None, store: Path | None = None) -> dict[str, Any]:
    """Examine the machine and the recognizer.

    Args:
        bundle_path: The bundle; by default the one that `merau watch` takes.
        store: A store whose sessions are compared with the bundle's training domain.

    Returns:
        The findings as JSON fields.

    Raises:
        UserError: The recognizer cannot run, or the store cannot be read.
    """
    recognizer = Recognizer.load(bundle_path)
    bundle, runtime = recognizer.bundle, recognizer.runtime
    probe = driver.probe()
    return {
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": count_cores(),
        },
        "cameras": list_cameras(),
        "codecs": {name: name in av.codecs_available for name in CODECS},
        "runtimes": {name: installed_version(name) for name in RUNTIMES},
        "ffmpeg": {name: ".".join(map(str, numbers)) for name, numbers in av.library_versions.items()},
        "optional": {name: installed_version(name) for name in OPTIONAL},
        "gpu": {"devices": [f"{gpu.name}, {gpu.arch}" for gpu in probe.gpus], "why": str(probe.reason)},
        "onnxruntime_providers": onnxruntime.get_available_providers(),
        "device": {
            "chosen": runtime.device,
            "runtime": runtime.runtime,
            "precision": runtime.precision,
            "why": str(runtime.reason),
            "flow": recognizer.flow_method,
            "flow_device": recognizer.flow_device,
            "spotter_device": FlowBackend(recognizer, recognizer.spec).device,
        },
        "bundle": {"name": bundle.name, "sha256": bundle.sha256, "card": bundle.card},
        "domain": domain_distances(store, bundle) if store else [],
    }


def domain_distances(store: Path, bundle: bundles.Bundle) -> list[dict[str, Any]]:
    """Measure for each session of a store how far its events lie from the bundle's training domain."""
    trained_on = domain_embeddings(bundle)
    found = []
    for session in read_sessions(store):
        events = [e for e in read_events(store, session.id) if e.embedding and e.bundle_sha256 == bundle.sha256]
        fields: dict[str, Any] = {"session": session.id, "source": session.source, "samples": len(events)}
        if len(events) >= MIN_SAMPLES:
            measured = domain_distance(
                np.stack([np.frombuffer(e.embedding or b"", np.float32) for e in events]), trained_on
            )
            fields |= {"mmd2": round(measured.mmd2, 4), "p_value": round(measured.p_value, 3)}
        found.append(fields)
    return found


def list_cameras() -> list[dict[str, Any]]:
    """List the cameras: device, name, and whether they may be read."""
    if sys.platform in SYSTEMS:
        return [{"device": name, "name": name, "readable": True} for name in camera_names()]
    return [
        {"device": device, "name": _camera_name(Path(device)), "readable": os.access(device, os.R_OK | os.W_OK)}
        for device in camera_names()
    ]


def _camera_name(device: Path) -> str:
    try:
        return Path("/sys/class/video4linux", device.name, "name").read_text().strip()
    except OSError:
        return "unknown"


def installed_version(package: str) -> str | None:
    """Return the version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
