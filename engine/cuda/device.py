"""One NVIDIA GPU through pycuda: its context, its memory, and the kernels of this folder."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from merau.engine.cuda import driver, nvrtc
from merau.engine.errors import DeviceError

BLOCK = (32, 8, 1)  # threads: TILE_X and TILE_Y of the kernels
FOLDER = Path(__file__).parent


class Device:
    """The first GPU, in its primary context, which TensorRT uses as well. For all threads: each works in `current` with
    a stream and memory of its own.

    Raises DeviceError, one sentence, where there is no GPU, no driver, no pycuda, or no compiler for the kernels.
    """

    def __init__(self) -> None:
        probe = driver.probe()
        if not probe.gpus:
            raise DeviceError(f"There is no GPU to use: {probe.why}.")
        self.gpu = probe.gpus[0]
        try:
            import pycuda.driver as cuda
        except ImportError as error:
            raise DeviceError(f"The GPU needs pycuda, which cannot be used here ({error}): see docs/gpu.md.") from error
        self.cuda = cuda
        self._modules: dict[str, Any] = {}
        self.idle_streams: list[Any] = []  # not in use: pycuda can destroy one in the thread of the context only
        self.closed = False
        with self.driver_errors("starting"):
            cuda.init()
            self._context = cuda.Device(0).retain_primary_context()

    @contextmanager
    def current(self, doing: str) -> Iterator[None]:
        """The context is this thread's within; what the driver refuses there is a DeviceError that names `doing`."""
        with self.driver_errors(doing), self._context_of_this_thread():
            yield

    @contextmanager
    def driver_errors(self, doing: str) -> Iterator[None]:
        """What the driver refuses within is a DeviceError that names `doing`."""
        try:
            yield
        except self.cuda.Error as error:
            raise DeviceError(f"{self.gpu.name} failed at {doing}: {error}.") from error

    @contextmanager
    def _context_of_this_thread(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            self.cuda.Context.pop()

    def load_kernels(self, name: str, formats: dict[str, str]) -> dict[str, Any]:
        """The kernels of `name`.cu that `formats` lists with their arguments: P an address, i int, f float, 64s bytes.

        To be called in `current`. PTX, which the driver compiles, where machine code for this GPU cannot be had.
        """
        if name not in self._modules:
            self._modules[name] = self._load(FOLDER / f"{name}.cu")
        functions = {kernel: self._modules[name].get_function(kernel) for kernel in formats}
        for kernel, function in functions.items():
            function.prepare(formats[kernel])
        return functions

    def close(self) -> None:
        """Let go of the GPU, in the thread that made the object. Memory must have been given back before."""
        with self._context_of_this_thread():
            self.idle_streams.clear()
            self._modules.clear()
        self._context.detach()
        self.closed = True

    def _load(self, source: Path) -> Any:
        try:
            return self.cuda.module_from_buffer(nvrtc.load_or_compile(source, self.gpu.arch))
        except (nvrtc.UnknownArch, self.cuda.Error):
            ptx = nvrtc.load_or_compile(source, nvrtc.newest_ptx(self.gpu.arch))
            return self.cuda.module_from_buffer(ptx + b"\0")


class Memory:
    """Device memory, pinned host memory and a stream with one owner: given back together, by `close` or with the
    object. To be made in `device.current`.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._kept: list[Any] = []
        self._open = True
        self.stream = device.idle_streams.pop() if device.idle_streams else device.cuda.Stream()

    def allocate(self, *shape: int, dtype: type[np.generic] = np.float32) -> int:
        """The address of room for an array."""
        self._kept.append(self._device.cuda.mem_alloc(int(np.prod(shape)) * np.dtype(dtype).itemsize))
        return int(self._kept[-1])

    def pinned(self, *shape: int, dtype: type[np.generic] = np.float32) -> np.ndarray:
        """A host array that the GPU copies by itself; not to be used after `close`."""
        array = self._device.cuda.pagelocked_empty(shape, dtype)
        self._kept.append(array.base)
        return array

    def close(self) -> None:
        """Wait for what is under way and give everything back; a device closed earlier has done so itself."""
        if not self._open or self._device.closed:
            return
        with self._device.current("giving memory back"):
            with suppress(self._device.cuda.Error):  # of work that failed, and was told then
                self.stream.synchronize()
            while self._kept:
                self._kept.pop().free()
            self._device.idle_streams.append(self.stream)
            self._open = False

    def __del__(self) -> None:
        if hasattr(self, "stream"):  # which is made last
            self.close()


@lru_cache
def device() -> Device:
    """The GPU of this process, started at the first call."""
    started = Device()
    atexit.register(started.close)
    return started


def blocks(width: int, height: int, count: int) -> tuple[int, int, int]:
    """The grid in which each pixel of `count` fields has a thread."""
    return -(-width // BLOCK[0]), -(-height // BLOCK[1]), count
