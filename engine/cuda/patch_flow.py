"""The spotter's flow of small patches on the GPU, for a batch of pairs at a time: the host side of patch_flow.cu."""

import numpy as np

from merau.engine.cuda.device import BLOCK, Device, Memory, blocks
from merau.engine.patch_flow import FULL, SIDE, STRIDE

KERNELS = {"halve_picture": "PPii", "halve_level": "PPii", "follow": "PPPPiiiif"}


class PatchFlow:
    """Flow of up to `pairs` pairs of pictures (height, width). Owns a stream and all the device memory it will need.

    One call at a time. Raises DeviceError where the GPU fails.
    """

    def __init__(self, device: Device, pairs: int, height: int, width: int) -> None:
        self._device, self._size = device, (height, width)
        self._half, self._quarter = (height // 2, width // 2), (height // 4, width // 4)
        fine, coarse = grid(self._half), grid(self._quarter)
        with device.current("preparing the spotter's flow"):
            self._kernels = device.load_kernels("patch_flow", KERNELS)
            self._memory = Memory(device)
            room, pinned = self._memory.allocate, self._memory.pinned
            self._pictures = room(2 * pairs, height, width, dtype=np.uint8)
            self._levels = room(2 * pairs, *self._half), room(2 * pairs, *self._quarter)
            self._coarse, self._flow = room(pairs, 2, *coarse), room(pairs, 2, *fine)
            self._residual = room(pairs, *fine)
            self._host_pictures = pinned(2 * pairs, height, width, dtype=np.uint8)
            self._host_flow, self._host_residual = pinned(pairs, 2, *fine), pinned(pairs, *fine)

    def __call__(self, *, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flow (N, 2, rows, columns) and residual (N, rows, columns) of images (N, H, W) uint8, N at most `pairs`: as
        engine.patch_flow.patch_flow for each pair.
        """
        count, cuda, stream = len(before), self._device.cuda, self._memory.stream
        with self._device.current("the spotter's flow"):
            pictures, flow, residual = (
                self._host_pictures[: 2 * count],
                self._host_flow[:count],
                self._host_residual[:count],
            )
            pictures[:count], pictures[count:] = before, after
            cuda.memcpy_htod_async(self._pictures, pictures, stream)
            half, quarter = self._levels
            self._halve("halve_picture", self._pictures, half, self._size, count)
            self._halve("halve_level", half, quarter, self._half, count)
            self._follow(self._quarter, quarter, (self._coarse, self._coarse, self._residual), (0, 0), 1, count)
            coarse = grid(self._quarter)
            self._follow(self._half, half, (self._coarse, self._flow, self._residual), coarse, FULL, count)
            cuda.memcpy_dtoh_async(flow, self._flow, stream)
            cuda.memcpy_dtoh_async(residual, self._residual, stream)
            stream.synchronize()
            return flow.copy(), residual.copy()

    def _halve(self, kernel: str, source: int, target: int, size: tuple[int, int], count: int) -> None:
        height, width = size
        over = blocks(width // 2, height // 2, 2 * count)
        self._kernels[kernel].prepared_async_call(over, BLOCK, self._memory.stream, source, target, height, width)

    def _follow(
        self,
        size: tuple[int, int],
        level: int,
        fields: tuple[int, int, int],
        coarse: tuple[int, int],
        gain: float,
        count: int,
    ) -> None:
        rows, columns = grid(size)
        arguments = (level, *fields, *size, *coarse, gain)
        over, block = (columns, rows, count), (SIDE, SIDE, 1)
        self._kernels["follow"].prepared_async_call(over, block, self._memory.stream, *arguments)

    def close(self) -> None:
        """Give all memory back."""
        self._kernels.clear()
        self._memory.close()


def grid(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the patches of a level (height, width)."""
    height, width = size
    return (height - SIDE) // STRIDE + 1, (width - SIDE) // STRIDE + 1
