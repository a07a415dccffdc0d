"""Dense optical flow on the GPU, for a batch of pairs at a time: the host side of farneback.cu."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from merau.engine.cuda.device import BLOCK, Device, Memory, blocks
from merau.engine.errors import UserError

TAPS = 16  # a filter's half, w[0] in its middle: struct Taps
SMALLEST_PX = 32  # side of the smallest pyramid level
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
    """The parameters of cv2.calcOpticalFlowFarneback, by default those that MERAU's authors use.

    `levels` beside the full size, each `scale` times the one before; `window_px` is the side of the averaging window,
    a box or, with `gaussian`, weighted; `poly_px` is the radius of the neighbourhood a polynomial is fitted to.
    """

    scale: float = 0.5
    levels: int = 3
    window_px: int = 15
    iterations: int = 3
    poly_px: int = 5
    poly_sigma_px: float = 1.2
    gaussian: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (("levels", 0, 3), ("window_px", 2, 31), ("iterations", 1, 30), ("poly_px", 1, 7)):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"FarnebackSettings.{name} is {getattr(self, name)}: choose {low} to {high}.")
        if not 0.5 <= self.scale < 1:
            raise UserError(f"FarnebackSettings.scale is {self.scale}: choose 0.5 up to 1, without 1.")
        if not self.poly_sigma_px > 0:
            raise UserError(f"FarnebackSettings.poly_sigma_px is {self.poly_sigma_px}: choose a width above 0 px.")


class Farneback:
    """Flow of up to `pairs` pairs of pictures (height, width). Owns a stream and all the device memory it will need.

    One call at a time. Raises DeviceError where the GPU fails.
    """

    def __init__(
        self, device: Device, pairs: int, height: int, width: int, settings: FarnebackSettings | None = None
    ) -> None:
        if min(height, width) < SMALLEST_PX:
            raise UserError(f"Pictures are {width} x {height}: optical flow on the GPU needs {SMALLEST_PX} px a side.")
        self._device, self._settings = device, settings or FarnebackSettings()
        self._sizes = pyramid(height, width, self._settings)
        with device.current("preparing optical flow"):
            self._kernels = device.load_kernels("farneback", KERNELS)
            self._memory = Memory(device)
            room, size = self._memory.allocate, height * width
            self._pictures = room(2 * pairs, size, dtype=np.uint8)
            self._lines, self._level = room(2 * pairs, size), room(2 * pairs, size)
            self._coefficients, self._matrices = room(2 * pairs, 5, size), room(pairs, 5, size)
            self._flow, self._finer, self._coarser = (room(pairs, 2, size) for _ in range(3))
            self._host_pictures = self._memory.pinned(2 * pairs, height, width, dtype=np.uint8)
            self._host_flow = self._memory.pinned(pairs, 2, height, width)

    def __call__(self, onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
        """Flow (N, 2, H, W) float32, px, from `onset` to `apex`, both (N, H, W) uint8, N at most `pairs`."""
        count, cuda, stream = len(onset), self._device.cuda, self._memory.stream
        with self._device.current("optical flow"):
            pictures, flow = self._host_pictures[: 2 * count], self._host_flow[:count]
            pictures[:count], pictures[count:] = onset, apex
            cuda.memcpy_htod_async(self._pictures, pictures, stream)
            self.enqueue(self._pictures, self._flow, count, stream)
            cuda.memcpy_dtoh_async(flow, self._flow, stream)
            stream.synchronize()
            return flow.copy()

    def enqueue(self, pictures: int, flow: int, count: int, stream: Any) -> None:
        """The same from device to device, put into `stream` and not waited for. To be called in `device.current`.

        `pictures` is the address of (2 count, H, W) uint8, all onsets before all apexes, `flow` of (count, 2, H, W)
        float32.
        """
        coarse = fine = self._coarser
        for level in reversed(range(len(self._sizes))):
            height, width = size = self._sizes[level]
            self._expand(pictures, level, count, stream)
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

    def _expand(self, pictures: int, level: int, count: int, stream: Any) -> None:
        """The polynomial coefficients of all pictures at a pyramid level."""
        (full_y, full_x), (height, width) = self._sizes[0], self._sizes[level]
        blur = smoothing(self._settings.scale**level)
        across = (pictures, self._lines, full_y, full_x, width, full_x / width, *blur)
        down = (self._lines, self._level, full_y, width, height, full_y / height, *blur)
        self._run("shrink_rows", (full_y, width), 2 * count, stream, *across)
        self._run("shrink_columns", (height, width), 2 * count, stream, *down)
        poly = (self._level, self._coefficients, height, width, *polynomial(self._settings))
        self._run("expand", (height, width), 2 * count, stream, *poly)

    def _run(self, kernel: str, size: tuple[int, int], count: int, stream: Any, *arguments: Any) -> None:
        height, width = size
        self._kernels[kernel].prepared_async_call(blocks(width, height, count), BLOCK, stream, *arguments)

    def close(self) -> None:
        """Give all memory back."""
        self._kernels.clear()
        self._memory.close()


def pyramid(height: int, width: int, settings: FarnebackSettings) -> list[tuple[int, int]]:
    """(height, width) of each level, the full size first; like OpenCV none below 32 px."""
    scales = [settings.scale**level for level in range(settings.levels + 1)]
    return [(round(height * s), round(width * s)) for s in scales if min(height, width) * s >= SMALLEST_PX]


def smoothing(scale: float) -> tuple[bytes, int]:
    """The Gaussian that OpenCV blurs a picture with before it is shrunk by `scale`, as (Taps, reach)."""
    sigma = (1 / scale - 1) / 2
    reach = max(round(sigma * 5) | 1, 3) // 2
    return (taps([0.5, 0.25]) if sigma == 0 else taps(gauss(reach, sigma))), reach


def window(settings: FarnebackSettings) -> tuple[bytes, int]:
    """The averaging window as (Taps, reach)."""
    reach = settings.window_px // 2
    if settings.gaussian:
        return taps(gauss(reach, 0.3 * reach)), reach
    return taps([1 / settings.window_px] * (reach + 1)), reach


def polynomial(settings: FarnebackSettings) -> tuple[bytes, bytes, int]:
    """The polynomial's weights and the four entries of the inverse Gram matrix, as (Taps, Inverse, reach)."""
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
    """A half Gaussian (reach + 1,) whose whole sums to 1."""
    half = np.exp(-(np.arange(reach + 1) ** 2) / (2 * sigma**2))
    return half / (2 * half.sum() - half[0])


def taps(half: Sequence[float] | np.ndarray) -> bytes:
    """Struct Taps."""
    packed = np.zeros(TAPS, np.float32)
    packed[: len(half)] = half
    return packed.tobytes()
