"""`merau doctor`: what this machine has, what was chosen, and why."""

import ctypes
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import av
import onnxruntime

from engine import bundle as bundles

RUNTIMES = ("merau-live", "av", "opencv-python-headless", "numpy", "numba", "ai-edge-litert", "onnxruntime", "pyarrow")
OPTIONAL = ("insightface", "torch")
CODECS = ("h264", "hevc", "vp9", "av1", "mjpeg")


def examine(bundle_path: Path | None) -> dict[str, Any]:
    """Everything there is to know, as JSON. Raises UserError when the bundle cannot be read."""
    bundle = bundles.load(bundle_path)
    reason = gpu()
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
        "gpu": reason,
        "onnxruntime_providers": onnxruntime.get_available_providers(),
        "device": {"chosen": "cpu", "why": "this version runs every net on the CPU"},
        "bundle": {"name": bundle.name, "sha256": bundle.sha256, "card": bundle.card},
    }


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


def gpu() -> dict[str, Any]:
    """The NVIDIA driver's own word, asked through libcuda; where it does not answer, the reason why."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return {"devices": [], "why": "no NVIDIA driver: libcuda.so.1 is not on this machine"}
    code = cuda.cuInit(0)
    if code != 0:
        return {"devices": [], "why": f"the NVIDIA driver does not start: {_cuda_error(cuda, code)}"}
    number, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(number))
    cuda.cuDeviceGetCount(ctypes.byref(count))
    devices = [_device_name(cuda, index) for index in range(count.value)]
    cuda_version = f"{number.value // 1000}.{number.value % 1000 // 10}"
    return {"devices": devices, "why": f"the driver answers, CUDA {cuda_version}"}


def _device_name(cuda: ctypes.CDLL, index: int) -> str:
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, len(name), index)
    return name.value.decode()


def _cuda_error(cuda: ctypes.CDLL, code: int) -> str:
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(code, ctypes.byref(text))
    return (text.value or b"unknown error").decode()


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
        "device": [f"{findings['device']['chosen']}: {findings['device']['why']}"],
        "bundle": [
            f"{bundle['name']}, sha256 {bundle['sha256'][:16]}",
            f"classes {', '.join(card['classes'])}",
            f"Action Units {', '.join(card['aus'])}",
            *(f"{name.replace('_', ' ')}: {_told(card[name])}" for name in ("calibration", "trained_on", "scores")),
        ],
    }
    below = "\n" + 10 * " "
    return "\n".join(f"{name:<10}{below.join(lines)}" for name, lines in rows.items())


def _told(tree: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in bundles.flatten(tree).items()) or "none"
