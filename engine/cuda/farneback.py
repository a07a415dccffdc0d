"""Dense optical flow on the GPU for batches of pairs: the host side of farneback.cu."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from merau.engine.cuda.device import BLOCK, Device, Memory, grid_size
from merau.engine.errors import UserError
from merau.engine.validation import check, check_range

TAPS = 16  # length of half a filter, whose centre is w[0]: struct Taps
MIN_SIDE_PX = 32  # side of the smallest pyramid level
KERNELS = {
    "shrink_rows": "PPiiif64si",
    "shrink_columns": "PPiiif64si",
    "expand": "PPii64s16si",
    "refine": "PPiiiifff",
    "equate": "PPPiii",
    "solve": "PPii64si",
}


@dataclass(frozen=True)
class FarnebackSettings:
    """Parameters of cv2.calcOpticalFlowFarneback; the defaults are those of MERAU's authors.

    Attributes:
        scale: Size of each pyramid level, relative to the one before.
        levels: Number of pyramid levels in addition to the full size.
        window_px: Side of the averaging window.
        iterations: Iterations at each level.
        poly_px: Radius of the neighbourhood that a polynomial is fitted to.
        poly_sigma_px: Standard deviation of the Gaussian that weights this neighbourhood.
        gaussian: Whether the averaging window is a Gaussian instead of a box.
    """

    scale: float = 0.5
    levels: int = 3
    window_px: int = 15
    iterations: int = 3
    poly_px: int = 5
    poly_sigma_px: float = 1.2
    gaussian: bool = False

    def __post_init__(self) -> None:
        check_range(self, "levels", low=0, high=3)
        check_range(self, "window_px", low=2, high=31)
        check_range(self, "iterations", low=1, high=30)
        check_range(self, "poly_px", low=1, high=7)
        check_range(self, "poly_sigma_px", above=0)
        check(self, "scale", 0.5 <= self.scale < 1, "0.5 or more, and less than 1")


class Farneback:
    """Flow of up to `pairs` pairs of images (height, width). Call it from one thread at a time.

    Owns a stream and all the device memory that it needs.

    Raises:
        DeviceError: The GPU fails; calls raise it as well.
        UserError: The images are too small.
    """

    def __init__(
        self, device: Device, pairs: int, height: int, width: int, settings: FarnebackSettings | None = None
    ) -> None:
        if min(height, width) < MIN_SIDE_PX:
            raise UserError(f"Images are {width} x {height} px: optical flow on the GPU needs {MIN_SIDE_PX} px a side.")
        self._device, self._settings = device, settings or FarnebackSettings()
        self._sizes = pyramid(height, width, self._settings)
        with device.current("preparing optical flow"):
            self._kernels = device.load_kernels("farneback", KERNELS)
            self._memory = Memory(device)
            room, size = self._memory.allocate, height * width
            self._images = room(2 * pairs, size, dtype=np.uint8)
            self._lines, self._level = room(2 * pairs, size), room(2 * pairs, size)
            self._coefficients, self._matrices = room(2 * pairs, 5, size), room(pairs, 5, size)
            self._flow, self._finer, self._coarser = (room(pairs, 2, size) for _ in range(3))
            self._host_images = self._memory.pinned(2 * pairs, height, width, dtype=np.uint8)
            self._host_flow = self._memory.pinned(pairs, 2, height, width)

    def __call__(self, onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
        """Compute the flow (N, 2, H, W) float32 px from `onset` to `apex`, both (N, H, W) uint8, N up to `pairs`."""
        count, cuda, stream = len(onset), self._device.cuda, self._memory.stream
        with self._device.current("optical flow"):
            images, flow = self._host_images[: 2 * count], self._host_flow[:count]
            images[:count], images[count:] = onset, apex
            cuda.memcpy_htod_async(self._images, images, stream)
            self.enqueue(self._images, self._flow, count, stream)
            cuda.memcpy_dtoh_async(flow, self._flow, stream)
            stream.synchronize()
            return flow.copy()

    def enqueue(self, images: int, flow: int, count: int, stream: Any) -> None:
        """Compute flow on the device, in `stream`, without waiting for it. Call it within `Device.current`.

        Args:
            images: Address of (2 count, H, W) uint8, all onsets before all apexes.
            flow: Address of the result, (count, 2, H, W) float32.
            count: Number of pairs.
            stream: Where the kernels are enqueued.
        """
        coarse = fine = self._coarser
        for level in reversed(range(len(self._sizes))):
            height, width = size = self._sizes[level]
            self._expand(images, level, count, stream)
            fine = flow if level == 0 else self._finer if coarse == self._coarser else self._coarser
            if level == len(self._sizes) - 1:
                self._device.cuda.memset_d8_async(fine, 0, 8 * count * height * width, stream)
            else:
                from_y, from_x = self._sizes[level + 1]
                steps = (from_y / height, from_x / width, 1 / self._settings.scale)
                self._run("refine", size, 2 * count, stream, coarse, fine, from_y, from_x, height, width, *steps)
            for _ in range(self._settings.iterations):
                self._run("equate", size, count, stream, self._coefficients, fine, self._matrices, count, height, width)
                self._run("solve", size, count, stream, self._matrices, fine, height, width, *window(self._settings))
            coarse = fine

    def _expand(self, images: int, level: int, count: int, stream: Any) -> None:
        """Enqueue the polynomial coefficients of all images at a pyramid level."""
        (full_y, full_x), (height, width) = self._sizes[0], self._sizes[level]
        blur = smoothing(self._settings.scale**level)
        across = (images, self._lines, full_y, full_x, width, full_x / width, *blur)
        down = (self._lines, self._level, full_y, width, height, full_y / height, *blur)
        self._run("shrink_rows", (full_y, width), 2 * count, stream, *across)
        self._run("shrink_columns", (height, width), 2 * count, stream, *down)
        poly = (self._level, self._coefficients, height, width, *polynomial(self._settings))
        self._run("expand", (height, width), 2 * count, stream, *poly)

    def _run(self, kernel: str, size: tuple[int, int], count: int, stream: Any, *arguments: Any) -> None:
        height, width = size
        self._kernels[kernel].prepared_async_call(grid_size(width, height, count), BLOCK, stream, *arguments)

    def close(self) -> None:
        """Release all memory."""
        self._kernels.clear()
        self._memory.close()


def pyramid(height: int, width: int, settings: FarnebackSettings) -> list[tuple[int, int]]:
    """Return (height, width) of each level, the full size first; like OpenCV, none is below 32 px."""
    scales = [settings.scale**level for level in range(settings.levels + 1)]
    return [(round(height * s), round(width * s)) for s in scales if min(height, width) * s >= MIN_SIDE_PX]


def smoothing(scale: float) -> tuple[bytes, int]:
    """Gaussian with which OpenCV blurs an image before it shrinks it by `scale`, as (Taps, reach)."""
    sigma = (1 / scale - 1) / 2
    reach = max(round(sigma * 5) | 1, 3) // 2
    return (taps([0.5, 0.25]) if sigma == 0 else taps(gauss(reach, sigma))), reach


def window(settings: FarnebackSettings) -> tuple[bytes, int]:
    """Averaging window as (Taps, reach)."""
    reach = settings.window_px // 2
    if settings.gaussian:
        return taps(gauss(reach, 0.3 * reach)), reach
    return taps([1 / settings.window_px] * (reach + 1)), reach


def polynomial(settings: FarnebackSettings) -> tuple[bytes, bytes, int]:
    """Weights of the polynomial fit and entries of the inverse Gram matrix, as (Taps, Inverse, reach)."""
    reach = settings.poly_px
    weights = gauss(reach, settings.poly_sigma_px)
    line = np.arange(-reach, reach + 1)
    y, x = (axis.ravel() for axis in np.meshgrid(line, line, indexing="ij"))
    basis = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])
    applicability = (weights[abs(y)] * weights[abs(x)]).astype(np.float64)
    inverse = np.linalg.inv(basis * applicability @ basis.T)
    entries = np.array([inverse[1, 1], inverse[0, 3], inverse[3, 3], inverse[5, 5]], np.float32)
    return taps(weights), entries.tobytes(), reach


def gauss(reach: int, sigma: float) -> np.ndarray:
    """Half a Gaussian (reach + 1,), both halves of which sum to 1."""
    half = np.exp(-(np.arange(reach + 1) ** 2) / (2 * sigma**2))
    return half / (2 * half.sum() - half[0])


def taps(half: Sequence[float] | np.ndarray) -> bytes:
    """Pack half a filter as struct Taps."""
    packed = np.zeros(TAPS, np.float32)
    packed[: len(half)] = half
    return packed.tobytes()
