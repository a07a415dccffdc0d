"""Compile the .cu files of this folder with NVRTC (wheel nvidia-cuda-nvrtc), without a CUDA toolkit.

They are compiled at first use and kept in the user's cache folder, by architecture and hash of the source. A kernel
from the cache runs without NVRTC.
"""

import ctypes
import hashlib
import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from merau.engine import cache
from merau.engine.errors import DeviceError

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.cu")))
OPTIONS = ("--std=c++17", "--ptxas-options=-v")


class UnknownArch(DeviceError):
    """NVRTC is older than the architecture, or has dropped it."""


@dataclass(frozen=True)
class Usage:
    """Resources that a kernel takes on a multiprocessor, as ptxas reports them."""

    registers: int
    spill_bytes: int  # stores and loads
    stack_bytes: int
    shared_bytes: int


def load_or_compile(source: Path, arch: str) -> bytes:
    """Read compiled kernels from the cache, or compile them.

    Args:
        source: A .cu file.
        arch: "sm_89" gives machine code, "compute_89" PTX.

    Raises:
        DeviceError: NVRTC is needed and missing, or the source does not compile.
        UnknownArch: NVRTC does not support the architecture.
    """
    recipe = f"{OPTIONS} {source.read_text()}"
    key = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    path = cache.folder() / "cuda" / f"{source.stem}-{arch}-{key}"
    code = cache.read(path)
    if code is None:
        code, _ = compile_source(source, arch)
        cache.write(path, code)
    return code


def compile_source(source: Path, arch: str) -> tuple[bytes, dict[str, Usage]]:
    """Compile a source; returns its code and, for machine code, the resources of each kernel by name."""
    nvrtc = _nvrtc()
    if int(arch.rpartition("_")[2]) not in _archs():
        raise UnknownArch(f"NVRTC {_version()} cannot compile for {arch}: it supports {', '.join(map(str, _archs()))}.")
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.read_bytes(), source.name.encode(), 0, None, None)
    try:
        options = [f"--gpu-architecture={arch}".encode(), *(option.encode() for option in OPTIONS)]
        code = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        log = _text(program, "ProgramLog").rstrip(b"\0").decode()
        if code != 0:
            raise DeviceError(f"NVRTC {_version()} cannot compile {source.name} for {arch}: {log.strip() or code}")
        return _text(program, "CUBIN" if arch.startswith("sm_") else "PTX"), parse_usage(log)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def parse_usage(log: str) -> dict[str, Usage]:
    """Parse the report of ptxas on each kernel, by name."""
    found = {}
    for name, report in re.findall(r"Compiling entry function '(\w+)'(.*?)Compile time", log, re.DOTALL):
        stack, *spills = map(int, re.findall(r"(\d+) bytes (?:stack|spill)", report))
        registers, shared = (re.search(pattern, report) for pattern in (r"Used (\d+) registers", r"(\d+) bytes smem"))
        assert registers
        found[name] = Usage(int(registers[1]), sum(spills), stack, int(shared[1]) if shared else 0)
    return found


def newest_ptx(arch: str) -> str:
    """Return the PTX architecture for a GPU of `arch`: its own, or the newest that NVRTC supports."""
    return f"compute_{min(int(arch.removeprefix('sm_')), max(_archs()))}"


def _archs() -> list[int]:
    nvrtc, count = _nvrtc(), ctypes.c_int()
    nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    archs = (ctypes.c_int * count.value)()
    nvrtc.nvrtcGetSupportedArchs(archs)
    return list(archs)


def _text(program: ctypes.c_void_p, what: str) -> bytes:
    nvrtc, size = _nvrtc(), ctypes.c_size_t()
    nvrtc[f"nvrtcGet{what}Size"](program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    nvrtc[f"nvrtcGet{what}"](program, buffer)
    return buffer.raw


def _version() -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    _nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


@lru_cache
def _nvrtc() -> ctypes.CDLL:
    """Load NVRTC from its wheel, whose folder is not on the loader's path, or from an installed toolkit."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    try:
        for library in (path for folder in folders for path in folder.glob("*/lib/libnvrtc.so.*")):
            for builtins in library.parent.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(builtins))
            return ctypes.CDLL(str(library))
        return ctypes.CDLL("libnvrtc.so.13")
    except OSError as error:
        raise DeviceError(
            "CUDA kernels cannot be compiled: NVRTC is missing; pip install 'merau-live[gpu]'."
        ) from error
