"""`merau doctor`: what this machine has, what was chosen, and why."""

import os
import platform
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
from merau.stream.spotter.flow_backend import FlowBackend
from merau.stream.store import read_events, read_sessions

RUNTIMES = ("merau-live", "av", "opencv-python-headless", "numpy", "numba", "ai-edge-litert", "onnxruntime", "pyarrow")
OPTIONAL = ("insightface", "nvidia-cuda-nvrtc", "pycuda", "tensorrt", "tensorrt-rtx", "torch")
CODECS = ("h264", "hevc", "vp9", "av1", "mjpeg")


def examine(bundle_path: Path | None, store: Path | None = None) -> dict[str, Any]:
    """Everything there is to know, as JSON, of the bundle that would run: the one at `bundle_path`, or the one that
    `merau watch` would take. Raises UserError when it cannot run, or the store cannot be read.
    """
    recognizer = Recognizer.load(bundle_path)
    bundle, choice = recognizer.bundle, recognizer.runtime
    probe = driver.probe()
    return {
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        },
        "cameras": cameras(),
        "codecs": {name: name in av.codecs_available for name in CODECS},
        "runtimes": {name: installed(name) for name in RUNTIMES},
        "ffmpeg": {name: ".".join(map(str, numbers)) for name, numbers in av.library_versions.items()},
        "optional": {name: installed(name) for name in OPTIONAL},
        "gpu": {"devices": [f"{gpu.name}, {gpu.arch}" for gpu in probe.gpus], "why": probe.why},
        "onnxruntime_providers": onnxruntime.get_available_providers(),
        "device": {
            "chosen": choice.device,
            "runtime": choice.runtime,
            "precision": choice.precision,
            "why": choice.why,
            "flow": recognizer.flow_method,
            "flow_device": recognizer.flow_device,
            "spotter_device": FlowBackend(recognizer, recognizer.spec).device,
        },
        "bundle": {"name": bundle.name, "sha256": bundle.sha256, "card": bundle.card},
        "domain": domain(store, bundle) if store else [],
    }


def domain(store: Path, bundle: bundles.Bundle) -> list[dict[str, Any]]:
    """For each session of a store how far its events lie from what the bundle was trained on (calib.domain)."""
    trained_on = domain_embeddings(bundle)
    found = []
    for session in read_sessions(store):
        events = [e for e in read_events(store, session.id) if e.embedding and e.bundle_sha256 == bundle.sha256]
        gauged: dict[str, Any] = {"session": session.id, "source": session.source, "samples": len(events)}
        if len(events) >= MIN_SAMPLES:
            measured = domain_distance(
                np.stack([np.frombuffer(e.embedding or b"", np.float32) for e in events]), trained_on
            )
            gauged |= {"mmd2": round(measured.mmd2, 4), "p_value": round(measured.p_value, 3)}
        found.append(gauged)
    return found


def cameras() -> list[dict[str, Any]]:
    """The Video4Linux devices: path, name, and whether they may be read."""
    return [
        {"device": str(device), "name": _camera_name(device), "readable": os.access(device, os.R_OK | os.W_OK)}
        for device in sorted(Path("/dev").glob("video*"))
    ]


def _camera_name(device: Path) -> str:
    try:
        return Path("/sys/class/video4linux", device.name, "name").read_text().strip()
    except OSError:
        return "unknown"


def installed(package: str) -> str | None:
    """The version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def told(findings: dict[str, Any]) -> str:
    """The findings for a person."""
    machine, bundle = findings["machine"], findings["bundle"]
    cameras = [
        f"{c['device']} {c['name']}{'' if c['readable'] else ' (permission denied)'}" for c in findings["cameras"]
    ]
    codecs = [name if there else f"no {name}" for name, there in findings["codecs"].items()]
    card = bundle["card"]
    rows = {
        "machine": [f"{machine['system']}, Python {machine['python']}, {machine['cores']} cores"],
        "cameras": cameras or ["none: no /dev/video* here"],
        "codecs": [", ".join(codecs)],
        "runtimes": [f"{name} {found or 'missing'}" for name, found in findings["runtimes"].items()],
        "optional": [f"{name} {found or 'not installed'}" for name, found in findings["optional"].items()],
        "gpu": [*findings["gpu"]["devices"], findings["gpu"]["why"]],
        "device": [
            "{chosen}, {runtime}, {precision}: {why}".format(**findings["device"]),
            "optical flow {flow} on {flow_device}, the spotter's on {spotter_device}".format(**findings["device"]),
        ],
        "bundle": [
            f"{bundle['name']}, sha256 {bundle['sha256'][:16]}",
            f"classes {', '.join(card['classes'])}",
            f"Action Units {', '.join(card['aus'])}",
            *(f"{name.replace('_', ' ')}: {_told(card[name])}" for name in ("calibration", "trained_on", "scores")),
        ],
    }
    if findings["domain"]:
        rows["domain"] = [_gauged(session) for session in findings["domain"]]
    below = "\n" + 10 * " "
    return "\n".join(f"{name:<10}{below.join(lines)}" for name, lines in rows.items())


def _told(tree: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in bundles.flatten(tree).items()) or "none"


def _gauged(session: dict[str, Any]) -> str:
    said = f"session {session['session']}, {session['source']}: "
    if "mmd2" not in session:
        return f"{said}{session['samples']} expressions judged by this bundle, {MIN_SAMPLES} are needed"
    chance = "further than chance explains" if session["p_value"] < 0.05 else "no further than chance explains"
    return f"{said}MMD^2 {session['mmd2']} from the training domain, p {session['p_value']}: {chance}"
