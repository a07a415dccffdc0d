"""The colours of decoded pictures: to BGR as a standard screen shows them, and the weights of their luma."""

from __future__ import annotations

from functools import cache

import numba
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, ColorTrc, VideoReformatter

Luma = tuple[float, float, float]  # weights of blue, green and red

BT601: Luma = (0.114, 0.587, 0.299)
BT709: Luma = (0.0722, 0.7152, 0.2126)
BT2020: Luma = (0.0593, 0.6780, 0.2627)
# By the picture's matrix: AVColorSpace, whose BT.2020 is 9 or 10. FFmpeg decodes by BT.601 what states none.
LUMA = {Colorspace.ITU709.value: BT709, 9: BT2020, 10: BT2020}

CODES = 1 << 10
WHITE_CD_M2 = 203.0  # a white page in high dynamic range: ITU-R BT.2408
HLG_PEAK_CD_M2, HLG_GAMMA = 1000.0, 1.2  # the screen that BT.2100 assumes
KNEE = 0.8  # share of white from which highlights are compressed instead of cut off
LEVELS, BRIGHTEST = 4096, 8.0  # entries of the table of grey levels, and the light of its last one
# From the primaries of BT.2020 to those of BT.709, in linear light, red first: ITU-R BT.2087.
TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)


def bgr(picture: VideoFrame, converter: VideoReformatter, *, width: int = 0) -> np.ndarray:
    """Convert to (H, W, 3) uint8 BGR. High dynamic range is shown as on a screen of standard range.

    Use one `converter` for a stream, because it is slow to make.
    """
    size = (width or picture.width, picture.height)
    if not is_hdr(picture):
        return converter.reformat(picture, *size, "bgr24", threads=1).to_ndarray()
    codes = converter.reformat(picture, *size, "gbrp10le", threads=1).to_ndarray()  # red first
    image: np.ndarray = _show(codes, linear_light(picture.color_trc), _grey_levels(), TO_BT709)
    return image


def luma(picture: VideoFrame) -> Luma:
    """Return the weights by which `bgr` of a picture gives its luma."""
    return BT709 if is_hdr(picture) else LUMA.get(picture.colorspace, BT601)


def is_hdr(picture: VideoFrame) -> bool:
    """Tell whether a picture has high dynamic range, PQ or HLG."""
    return picture.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


@cache
def linear_light(transfer: int) -> np.ndarray:
    """Light of each 10-bit code, (1024,) float32, 1 is white: ITU-R BT.2100, tables 4 (PQ) and 5 (HLG)."""
    signal = np.arange(CODES) / (CODES - 1)
    if transfer == ColorTrc.SMPTE2084:
        root = signal ** (1 / 78.84375)
        light_cd_m2 = 10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (
            1 / 0.1593017578125
        )
    else:
        low, high = signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light_cd_m2 = HLG_PEAK_CD_M2 * np.where(signal <= 0.5, low, high) ** HLG_GAMMA
    light: np.ndarray = (light_cd_m2 / WHITE_CD_M2).astype(np.float32)
    return light


@cache
def _grey_levels() -> np.ndarray:
    """Grey level by the square root of the light, (4096,) uint8, for a screen of ITU-R BT.1886."""
    light = BRIGHTEST * (np.arange(LEVELS) / (LEVELS - 1)) ** 2
    shown = np.where(light < KNEE, light, KNEE + (1 - KNEE) * -np.expm1(-(light - KNEE) / (1 - KNEE)))
    levels: np.ndarray = np.round(255 * shown ** (1 / 2.4)).astype(np.uint8)
    return levels


@numba.njit(cache=True, nogil=True, fastmath=True)
def _show(codes, light, levels, matrix):  # type: ignore[no-untyped-def]
    height, width, _ = codes.shape
    image = np.empty((height, width, 3), np.uint8)
    scale = np.float32((len(levels) - 1) / np.sqrt(BRIGHTEST))
    for i in range(height):
        for j in range(width):
            red, green, blue = light[codes[i, j, 0]], light[codes[i, j, 1]], light[codes[i, j, 2]]
            for k in range(3):
                shown = matrix[k, 0] * red + matrix[k, 1] * green + matrix[k, 2] * blue
                shown = min(max(shown, np.float32(0)), np.float32(BRIGHTEST))
                image[i, j, 2 - k] = levels[int(scale * np.sqrt(shown))]
    return image
