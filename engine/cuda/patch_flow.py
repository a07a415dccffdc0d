"""Patch flow on the GPU for batches of pairs: the host side of patch_flow.cu."""

import numpy as np

from merau.engine.cuda.device import BLOCK, Device, Memory, grid_size
from merau.engine.patch_flow import FULL, SIDE, STRIDE

KERNELS = {"halve_image": "PPii", "halve_level": "PPii", "align_patches": "PPPPiiiif"}


class PatchFlow:
    """Patch flow of up to `pairs` pairs of images (height, width). Call it from one thread at a time.

    Owns a stream and all the device memory that it needs.

    Raises:
        DeviceError: The GPU fails; calls raise it as well.
    """

    def __init__(self, device: Device, pairs: int, height: int, width: int) -> None:
        self._device, self._size = device, (height, width)
        self._half, self._quarter = (height // 2, width // 2), (height // 4, width // 4)
        fine, coarse = grid(self._half), grid(self._quarter)
        with device.current("preparing the spotter's flow"):
            self._kernels = device.load_kernels("patch_flow", KERNELS)
            self._memory = Memory(device)
            room, pinned = self._memory.allocate, self._memory.pinned
            self._images = room(2 * pairs, height, width, dtype=np.uint8)
            self._levels = room(2 * pairs, *self._half), room(2 * pairs, *self._quarter)
            self._coarse, self._flow = room(pairs, 2, *coarse), room(pairs, 2, *fine)
            self._residual = room(pairs, *fine)
            self._host_images = pinned(2 * pairs, height, width, dtype=np.uint8)
            self._host_flow, self._host_residual = pinned(pairs, 2, *fine), pinned(pairs, *fine)

    def __call__(self, *, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute engine.patch_flow.patch_flow for each pair.

        Args:
            before: (N, H, W) uint8, N up to `pairs`.
            after: (N, H, W) uint8.

        Returns:
            Flow (N, 2, rows, columns) and residual (N, rows, columns).
        """
        count, cuda, stream = len(before), self._device.cuda, self._memory.stream
        with self._device.current("the spotter's flow"):
            images, flow, residual = (
                self._host_images[: 2 * count],
                self._host_flow[:count],
                self._host_residual[:count],
            )
            images[:count], images[count:] = before, after
            cuda.memcpy_htod_async(self._images, images, stream)
            half, quarter = self._levels
            self._halve("halve_image", self._images, half, self._size, count)
            self._halve("halve_level", half, quarter, self._half, count)
            self._align_patches(self._quarter, quarter, (self._coarse, self._coarse, self._residual), (0, 0), 1, count)
            coarse = grid(self._quarter)
            self._align_patches(self._half, half, (self._coarse, self._flow, self._residual), coarse, FULL, count)
            cuda.memcpy_dtoh_async(flow, self._flow, stream)
            cuda.memcpy_dtoh_async(residual, self._residual, stream)
            stream.synchronize()
            return flow.copy(), residual.copy()

    def _halve(self, kernel: str, source: int, target: int, size: tuple[int, int], count: int) -> None:
        height, width = size
        over = grid_size(width // 2, height // 2, 2 * count)
        self._kernels[kernel].prepared_async_call(over, BLOCK, self._memory.stream, source, target, height, width)

    def _align_patches(
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
        self._kernels["align_patches"].prepared_async_call(over, block, self._memory.stream, *arguments)

    def close(self) -> None:
        """Release all memory."""
        self._kernels.clear()
        self._memory.close()


def grid(size: tuple[int, int]) -> tuple[int, int]:
    """Count the rows and columns of the patches of a level (height, width)."""
    height, width = size
    return (height - SIDE) // STRIDE + 1, (width - SIDE) // STRIDE + 1
