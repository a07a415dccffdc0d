"""One NVIDIA GPU through pycuda: its context, its memory, and the kernels of this folder."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from merau.engine.cuda import driver, nvrtc
from merau.engine.errors import DeviceError, Message

BLOCK = (32, 8, 1)  # threads: TILE_X and TILE_Y of the kernels
FOLDER = Path(__file__).parent


class Device:
    """The first GPU, in its primary context, which TensorRT uses as well.

    All threads may share it: each works within `current`, with a stream and memory of its own.

    Attributes:
        gpu: The GPU.
        cuda: The module pycuda.driver.
        idle_streams: Streams for reuse. pycuda can only destroy a stream in the thread that made the context.
        closed: Whether `close` was called.

    Raises:
        DeviceError: There is no GPU, no driver, no pycuda, or no compiler for the kernels.
    """

    def __init__(self) -> None:
        probe = driver.probe()
        if not probe.gpus:
            raise no_gpu(probe.reason)
        self.gpu = probe.gpus[0]
        try:
            import pycuda.driver as cuda
        except ImportError as error:
            raise DeviceError(
                "The GPU needs pycuda, which cannot be imported ({error}): see docs/gpu.md.", error=error
            ) from error
        self.cuda = cuda
        self._modules: dict[str, Any] = {}
        self.idle_streams: list[Any] = []
        self.closed = False
        with self.driver_errors("starting"):
            cuda.init()
            self._context = cuda.Device(0).retain_primary_context()

    @contextmanager
    def current(self, task: str) -> Iterator[None]:
        """Make the GPU's context current in this thread; turn driver errors into DeviceErrors that name `task`."""
        with self.driver_errors(task), self._context_in_this_thread():
            yield

    @contextmanager
    def driver_errors(self, task: str) -> Iterator[None]:
        """Turn driver errors into DeviceErrors that name `task`."""
        try:
            yield
        except self.cuda.Error as error:
            raise DeviceError("{gpu} failed at {task}: {error}.", gpu=self.gpu.name, task=task, error=error) from error

    @contextmanager
    def _context_in_this_thread(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            self.cuda.Context.pop()

    def load_kernels(self, name: str, formats: dict[str, str]) -> dict[str, Any]:
        """Load kernels of `name`.cu. Call it within `current`.

        Uses PTX, which the driver compiles, where no machine code for this GPU can be made.

        Args:
            name: File of the kernels, without .cu.
            formats: The arguments of each kernel: P an address, i int, f float, 64s bytes.
        """
        if name not in self._modules:
            self._modules[name] = self._load(FOLDER / f"{name}.cu")
        functions = {kernel: self._modules[name].get_function(kernel) for kernel in formats}
        for kernel, function in functions.items():
            function.prepare(formats[kernel])
        return functions

    def close(self) -> None:
        """Release the GPU, in the thread that made this object. Close all Memory objects before."""
        with self._context_in_this_thread():
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
    """Device memory, pinned host memory and a stream with one owner. Create it within `Device.current`.

    Everything is released together, by `close` or with the object.

    Attributes:
        stream: The owner's stream.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._kept: list[Any] = []
        self._open = True
        self.stream = device.idle_streams.pop() if device.idle_streams else device.cuda.Stream()

    def allocate(self, *shape: int, dtype: type[np.generic] = np.float32) -> int:
        """Allocate an array on the device and return its address."""
        self._kept.append(self._device.cuda.mem_alloc(int(np.prod(shape)) * np.dtype(dtype).itemsize))
        return int(self._kept[-1])

    def pinned(self, *shape: int, dtype: type[np.generic] = np.float32) -> np.ndarray:
        """Allocate a host array that the GPU can copy by itself; it is invalid after `close`."""
        array = self._device.cuda.pagelocked_empty(shape, dtype)
        self._kept.append(array.base)
        return array

    def close(self) -> None:
        """Wait for pending work and release everything; does nothing once the device is closed."""
        if not self._open or self._device.closed:
            return
        with self._device.current("releasing memory"):
            with suppress(self._device.cuda.Error):  # of work that failed and has raised its error already
                self.stream.synchronize()
            while self._kept:
                self._kept.pop().free()
            self._device.idle_streams.append(self.stream)
            self._open = False

    def __del__(self) -> None:
        if hasattr(self, "stream"):  # the attribute that is set last
            self.close()


@lru_cache
def device() -> Device:
    """Return the GPU of this process, started at the first call."""
    started = Device()
    atexit.register(started.close)
    return started


def no_gpu(reason: Message) -> DeviceError:
    """Build the error for a machine without a usable GPU."""
    return DeviceError("No GPU can be used: {reason}.", reason=reason)


def grid_size(width: int, height: int, count: int) -> tuple[int, int, int]:
    """Size of the grid that has a thread for each pixel of `count` fields."""
    return -(-width // BLOCK[0]), -(-height // BLOCK[1]), count
