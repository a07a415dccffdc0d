"""What NVIDIA's driver says of this machine, asked through libcuda alone: no package is needed and nothing is built."""

import ctypes
from dataclasses import dataclass
from typing import Any

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


@dataclass(frozen=True)
class Gpu:
    """A device: its name, its architecture as NVIDIA writes it ("sm_89"), its memory."""

    name: str
    arch: str
    memory_bytes: int


@dataclass(frozen=True)
class Probe:
    """The devices, in the driver's order, and how that was found out, as half a sentence."""

    gpus: list[Gpu]
    why: str


def probe() -> Probe:
    """Every GPU of this machine, or why there is none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Probe([], "no NVIDIA driver: libcuda.so.1 is not on this machine")
    try:
        return _asked(cuda)
    except _Refusal as error:
        return Probe([], f"the NVIDIA driver fails at {error}")


class _Refusal(Exception):
    """The call, what its error code means, and the code."""


def _asked(cuda: ctypes.CDLL) -> Probe:
    _call(cuda, "cuInit", 0)
    number, count = ctypes.c_int(), ctypes.c_int()
    _call(cuda, "cuDriverGetVersion", ctypes.byref(number))
    _call(cuda, "cuDeviceGetCount", ctypes.byref(count))
    gpus = [_gpu(cuda, index) for index in range(count.value)]
    version = f"CUDA {number.value // 1000}.{number.value % 1000 // 10}"
    return Probe(gpus, f"the driver answers, {version}" if gpus else f"the driver answers, {version}, but has no GPU")


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
        raise _Refusal(f"{name.removesuffix('_v2')}: {_text(cuda, code)} ({code})")


def _text(cuda: ctypes.CDLL, code: int) -> str:
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(code, ctypes.byref(text))
    return (text.value or b"unknown error").decode()
