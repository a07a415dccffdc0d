"""Crops and sizes on which CUDA flow is compared with the CPU's: by the tests, and by bench_gpu."""

import cv2
import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.cuda.farneback import FarnebackSettings
from merau.trainers.data.synth.clips import ASTRONAUT

FLOW_CASES = {  # (height, width), settings
    "128x128, MERAU's": ((128, 128), FarnebackSettings()),
    "a full crop, odd sizes": ((181, 167), FarnebackSettings(levels=1, iterations=1)),
    "smaller than a tile": ((37, 33), FarnebackSettings()),
    "a level of an eighth": ((260, 261), FarnebackSettings(iterations=1)),
    "Gaussian window": ((64, 96), FarnebackSettings(gaussian=True)),
    "another pyramid": ((70, 65), FarnebackSettings(scale=0.7, window_px=20, poly_px=7, poly_sigma_px=1.5)),
}
CROP_SPECS = (CropSpec(64, 10, 18, 8), CropSpec(32, 9, 13, 7))


def face_pair(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a crop of a face and the same moved smoothly by a pixel or so, both (H, W) uint8 with their own noise."""
    rng = np.random.default_rng(seed)
    grey = cv2.cvtColor(cv2.imread(str(ASTRONAUT)), cv2.COLOR_BGR2GRAY)
    onset = grey[20 : 20 + height, 145 : 145 + width]
    u, v = (cv2.GaussianBlur(rng.normal(0, 25, onset.shape).astype(np.float32), (0, 0), 10) for _ in range(2))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    apex = cv2.remap(onset, columns - u, rows - v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    noisy = (np.clip(face + rng.normal(0, 2, face.shape), 0, 255).astype(np.uint8) for face in (onset, apex))
    return next(noisy), next(noisy)


def opencv_farneback(onset: np.ndarray, apex: np.ndarray, settings: FarnebackSettings) -> np.ndarray:
    """Return OpenCV's flow (2, H, W) float32 px with the same settings."""
    s, flags = settings, cv2.OPTFLOW_FARNEBACK_GAUSSIAN if settings.gaussian else 0
    parameters = (s.scale, s.levels, s.window_px, s.iterations, s.poly_px, s.poly_sigma_px, flags)
    return cv2.calcOpticalFlowFarneback(onset, apex, None, *parameters).transpose(2, 0, 1)
