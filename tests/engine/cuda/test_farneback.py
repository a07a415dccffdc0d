"""CUDA flow against OpenCV's Farneback, on a device or on the stub driver."""

import av
import cv2
import numpy as np
import pytest

from merau.engine.cuda.device import Device
from merau.engine.cuda.farneback import Farneback, FarnebackSettings
from merau.engine.errors import UserError
from merau.engine.flow import flow, strain
from merau.trainers.data.synth.clips import ASTRONAUT
from scripts.fetch_footage import cache_folder

CASES = {  # (height, width), settings
    "128x128, MERAU's": ((128, 128), FarnebackSettings()),
    "a full crop, odd sizes": ((181, 167), FarnebackSettings(levels=1, iterations=1)),
    "smaller than a tile": ((37, 33), FarnebackSettings()),
    "a level of an eighth": ((260, 261), FarnebackSettings(iterations=1)),
    "Gaussian window": ((64, 96), FarnebackSettings(gaussian=True)),
    "another pyramid": ((70, 65), FarnebackSettings(scale=0.7, window_px=20, poly_px=7, poly_sigma_px=1.5)),
}


def pair(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A piece of a face, and the same moved smoothly by a pixel or so, each (H, W) uint8 with noise of its own."""
    rng = np.random.default_rng(seed)
    grey = cv2.cvtColor(cv2.imread(str(ASTRONAUT)), cv2.COLOR_BGR2GRAY)
    onset = grey[20 : 20 + height, 145 : 145 + width]
    u, v = (cv2.GaussianBlur(rng.normal(0, 25, onset.shape).astype(np.float32), (0, 0), 10) for _ in range(2))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    apex = cv2.remap(onset, columns - u, rows - v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    noisy = (np.clip(face + rng.normal(0, 2, face.shape), 0, 255).astype(np.uint8) for face in (onset, apex))
    return next(noisy), next(noisy)


def opencv(onset: np.ndarray, apex: np.ndarray, settings: FarnebackSettings) -> np.ndarray:
    s, flags = settings, cv2.OPTFLOW_FARNEBACK_GAUSSIAN if settings.gaussian else 0
    parameters = (s.scale, s.levels, s.window_px, s.iterations, s.poly_px, s.poly_sigma_px, flags)
    return cv2.calcOpticalFlowFarneback(onset, apex, None, *parameters).transpose(2, 0, 1)


def smile() -> tuple[np.ndarray, np.ndarray]:
    """The face of a real person at rest, and broadly smiling, each (180, 168) uint8."""
    if not (path := cache_folder() / "single_face.mp4").exists():
        pytest.skip("not run: needs scripts/fetch_footage.py")
    with av.open(str(path)) as clip:
        film = [picture.to_ndarray(format="gray")[110:290, 205:373] for picture in clip.decode(video=0)]
    return film[5], film[30]


def check_like_opencv(device: Device, pairs: list[tuple[np.ndarray, np.ndarray]], settings: FarnebackSettings) -> None:
    onset, apex = (np.stack(pictures) for pictures in zip(*pairs, strict=True))
    farneback = Farneback(device, 3, *onset.shape[1:], settings)
    fields = farneback(onset, apex)
    farneback.close()
    assert (fields.shape, fields.dtype) == ((len(onset), 2, *onset.shape[1:]), np.float32)
    for seen, *pictures in zip(fields, onset, apex, strict=True):
        true = opencv(*pictures, settings)
        apart = np.hypot(*(seen - true))
        assert np.hypot(*true).mean() > 0.1
        assert apart.mean() < 1e-4
        assert np.quantile(apart, 0.99) < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_the_flow_is_opencvs(device, case):
    size, settings = CASES[case]
    check_like_opencv(device, [pair(seed, *size) for seed in range(2)], settings)


@pytest.mark.gpu
def test_the_flow_of_a_real_persons_smile_is_opencvs(device):
    check_like_opencv(device, [smile(), smile()[::-1]], FarnebackSettings())


@pytest.mark.gpu
def test_the_strain_is_the_cpus(device):
    fields = np.random.default_rng(0).normal(0, 1, (2, 2, 33, 47)).astype(np.float32)
    farneback = Farneback(device, 2, 33, 47)
    seen = farneback.strain(fields)
    farneback.close()
    assert np.abs(seen - np.stack([strain(field) for field in fields])).max() < 1e-5


@pytest.mark.gpu
def test_the_method_cuda_is_the_method_farneback(device):
    onset, apex = pair(3, 48, 40)
    assert np.abs(flow(onset, apex, method="cuda") - flow(onset, apex, method="farneback")).max() < 0.01


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="FarnebackSettings.window_px is 40: choose 2 to 31"):
        FarnebackSettings(window_px=40)
    with pytest.raises(UserError, match="FarnebackSettings.scale is 0.4"):
        FarnebackSettings(scale=0.4)
