"""The GPUs of this machine, as NVIDIA's driver reports them: asked through libcuda alone, without any package."""

import ctypes
from dataclasses import dataclass
from typing import Any

from merau.engine.errors import Message

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: Name of the product.
        arch: Architecture as NVIDIA writes it, such as "sm_89".
        memory_bytes: Total memory.
    """

    name: str
    arch: str
    memory_bytes: int


@dataclass(frozen=True)
class Probe:
    """What the driver reported.

    Attributes:
        gpus: The GPUs, in the driver's order.
        reason: The driver's version, or why there is no GPU; a phrase to put into a sentence.
    """

    gpus: list[Gpu]
    reason: Message


def probe() -> Probe:
    """Find every GPU of this machine, or the reason why there is none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Probe([], Message("no NVIDIA driver found"))
    try:
        return _query(cuda)
    except _CallFailed as error:
        return Probe([], Message("the NVIDIA driver fails at {call}", {"call": error}))


class _CallFailed(Exception):
    """A call of the driver failed: its name, the meaning of its error code, and the code."""


def _query(cuda: ctypes.CDLL) -> Probe:
    _call(cuda, "cuInit", 0)
    number, count = ctypes.c_int(), ctypes.c_int()
    _call(cuda, "cuDriverGetVersion", ctypes.byref(number))
    _call(cuda, "cuDeviceGetCount", ctypes.byref(count))
    gpus = [_gpu(cuda, index) for index in range(count.value)]
    version = f"{number.value // 1000}.{number.value % 1000 // 10}"
    if not gpus:
        return Probe([], Message("the NVIDIA driver (CUDA {version}) reports no GPU", {"version": version}))
    return Probe(gpus, Message("CUDA {version}", {"version": version}))


def _gpu(cuda: ctypes.CDLL, index: int) -> Gpu:
    device, major, minor, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    _call(cuda, "cuDeviceGet", ctypes.byref(device), index)
    _call(cuda, "cuDeviceGetName", name, len(name), device)
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(major), MAJOR, device)
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(minor), MINOR, device)
    _call(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    return Gpu(name.value.decode(), f"sm_{major.value}{minor.value}", memory.value)


def _call(cuda: ctypes.CDLL, name: str, *arguments: Any) -> None:
    code = cuda[name](*arguments)
    if code != 0:
        raise _CallFailed(f"{name.removesuffix('_v2')}: {_error_text(cuda, code)} ({code})")


def _error_text(cuda: ctypes.CDLL, code: int) -> str:
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(code, ctypes.byref(text))
    return (text.value or b"unknown error").decode()
