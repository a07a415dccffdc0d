"""Webcams of this machine: by Video4Linux on Linux, AVFoundation on macOS and DirectShow on Windows.

Only Linux is tested.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import av
from av.device import DeviceInfo

SYSTEMS = {"darwin": "avfoundation", "win32": "dshow"}  # FFmpeg's name for the cameras of a system
VIDEO4LINUX = "v4l2"


def camera_name(number: int) -> str:
    """Return the name of camera `number`, counted from 0: "/dev/video0", or "camera 0" where cameras are no files."""
    return f"camera {number}" if sys.platform in SYSTEMS else f"/dev/video{number}"


def camera_names() -> list[str]:
    """Return the names of the cameras that are connected."""
    if sys.platform in SYSTEMS:
        return [camera_name(number) for number in range(len(_video_devices()))]
    return [os.fspath(path) for path in sorted(Path("/dev").glob("video*"))]


def camera_input(name: str) -> tuple[str, str]:
    """Return what FFmpeg opens for a camera: the device and its format.

    Raises:
        FileNotFoundError: There is no such camera.
    """
    format_name = SYSTEMS.get(sys.platform, VIDEO4LINUX)
    return (name, format_name) if format_name == VIDEO4LINUX else (_device(name, _video_devices()), format_name)


def _device(name: str, devices: Sequence[DeviceInfo], system: str = sys.platform) -> str:
    """Return the device of "camera 1" in the words of macOS or Windows."""
    number = int(name.rpartition(" ")[2])
    if number >= len(devices):
        raise FileNotFoundError(name)
    return f"{devices[number].name}:none" if system == "darwin" else f"video={devices[number].name}"


def _video_devices() -> list[DeviceInfo]:
    try:
        devices = av.enumerate_input_devices(SYSTEMS[sys.platform])
    except (av.FFmpegError, ValueError):
        return []
    return [device for device in devices if "video" in device.media_types]
