"""Affine cuts out of colour pictures, faster than OpenCV's own for three channels."""

import cv2
import numpy as np


def warp(
    bgr: np.ndarray, to_picture: np.ndarray, size: tuple[int, int], *, border: int = cv2.BORDER_REPLICATE
) -> np.ndarray:
    """The (height, width, 4) uint8 BGRA cut of `bgr` (H, W, 3) uint8, `size` being (width, height).

    `to_picture` (2, 3) maps the cut's pixels to the picture's; `border` is what OpenCV puts outside the picture. OpenCV
    warps four channels in half the time of three, so the part that is seen gets a fourth.
    """
    width, height = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ to_picture[:, :2].T + to_picture[:, 2]
    limit = np.array([bgr.shape[1], bgr.shape[0]])
    x0, y0 = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, limit - 1)
    x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int) + 3, (x0 + 1, y0 + 1), limit)
    seen = cv2.cvtColor(bgr[y0:y1, x0:x1], cv2.COLOR_BGR2BGRA)
    inside = to_picture - np.array([[0, 0, x0], [0, 0, y0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(seen, inside, size, flags=flags, borderMode=border)
