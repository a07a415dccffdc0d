"""The input contract of engine/preprocess.py on the GPU: the host side of preprocess.cu."""

import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.cuda.device import BLOCK, Device, Memory, grid_size
from merau.engine.cuda.farneback import Farneback
from merau.engine.errors import UserError
from merau.engine.flow import face_cells, motion_basis
from merau.engine.preprocess import FLOOR_PX, GRID

MAX_CELLS = 1536
KERNELS = {"fit_head_motion": "PPPPPiii", "remove_head_motion": "PPPPiiiii", "split_pattern_and_magnitude": "PPPif"}


class PairPreprocessor:
    """Pattern and magnitude of up to `pairs` pairs of full crops of layout `spec`, head motion removed.

    Owns all the device memory that it needs. Call it from one thread at a time.

    Raises:
        DeviceError: The GPU fails; calls raise it as well.
        UserError: The kernels do not support the layout.
    """

    def __init__(self, device: Device, pairs: int, spec: CropSpec) -> None:
        cells = face_cells(spec)
        if spec.size_px % GRID or len(cells) > MAX_CELLS:
            raise UserError(f"CropSpec.size_px is {spec.size_px}: on the GPU choose 32, 64, 96 or 128 px.")
        self._device, self._spec, self._cells = device, spec, len(cells)
        height, width = spec.full
        self._farneback = Farneback(device, pairs, height, width)
        with device.current("preparing recognition"):
            self._kernels = device.load_kernels("preprocess", KERNELS)
            self._memory = Memory(device)
            room = self._memory.allocate
            self._images = room(2 * pairs, height, width, dtype=np.uint8)
            self._flow, self._facial = room(pairs, 2, height, width), room(pairs, 2, spec.size_px, spec.size_px)
            self._fit, self._basis = room(pairs, 2, 4), room(4, height, width)
            self._at = room(len(cells), 2, dtype=np.int32)
            device.cuda.memcpy_htod(self._basis, motion_basis(spec))
            device.cuda.memcpy_htod(self._at, np.ascontiguousarray(cells))
            self._host_images = self._memory.pinned(2 * pairs, height, width, dtype=np.uint8)

    def enqueue(self, onset: np.ndarray, apex: np.ndarray, pattern: int, magnitude: int, stream: object) -> None:
        """Compute pattern and magnitude on the device, in `stream`, without waiting for them.

        Call it within `Device.current`, and not again before `stream` is done.

        Args:
            onset: (N, H, W) uint8.
            apex: (N, H, W) uint8.
            pattern: Address of the pattern, (N, 2, 32, 32) float32.
            magnitude: Address of the magnitude, (N, 1) float32.
            stream: Where the kernels are enqueued.
        """
        count, spec, (height, width) = len(onset), self._spec, self._spec.full
        images = self._host_images[: 2 * count]
        images[:count], images[count:] = onset, apex
        self._device.cuda.memcpy_htod_async(self._images, images, stream)
        self._farneback.enqueue(self._images, self._flow, count, stream)
        fitted = (self._images, self._flow, self._basis, self._at, self._fit, self._cells, height, width)
        self._kernels["fit_head_motion"].prepared_async_call((1, 1, count), BLOCK, stream, *fitted)
        inner = (height, width, spec.top_px, spec.side_px, spec.size_px)
        removed = (self._flow, self._fit, self._basis, self._facial, *inner)
        grid = grid_size(spec.size_px, spec.size_px, 2 * count)
        self._kernels["remove_head_motion"].prepared_async_call(grid, BLOCK, stream, *removed)
        seen = (self._facial, pattern, magnitude, spec.size_px, FLOOR_PX)
        self._kernels["split_pattern_and_magnitude"].prepared_async_call((1, 1, count), BLOCK, stream, *seen)

    def close(self) -> None:
        """Release all memory; every stream that it was used in must be done."""
        self._kernels.clear()
        self._farneback.close()
        self._memory.close()
