"""CUDA flow against OpenCV's Farneback, on a device or on the stub driver."""

import av
import numpy as np
import pytest

from merau.engine.cuda.device import Device
from merau.engine.cuda.farneback import Farneback, FarnebackSettings
from merau.engine.errors import UserError
from merau.engine.flow import flow
from scripts.support.flow_cases import FLOW_CASES, face_pair, opencv_farneback
from scripts.support.footage import cache_folder


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
        true = opencv_farneback(*pictures, settings)
        apart = np.hypot(*(seen - true))
        assert np.hypot(*true).mean() > 0.1
        assert apart.mean() < 1e-4
        assert np.quantile(apart, 0.99) < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("case", FLOW_CASES)
def test_flow_equals_opencvs(device, case):
    size, settings = FLOW_CASES[case]
    check_like_opencv(device, [face_pair(seed, *size) for seed in range(2)], settings)


@pytest.mark.gpu
def test_flow_of_a_real_smile_equals_opencvs(device):
    check_like_opencv(device, [smile(), smile()[::-1]], FarnebackSettings())


@pytest.mark.gpu
def test_method_cuda_equals_farneback(device):
    onset, apex = face_pair(3, 48, 40)
    assert np.abs(flow(onset, apex, method="cuda") - flow(onset, apex, method="farneback")).max() < 0.01


def test_farneback_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="FarnebackSettings.window_px is 40: choose 2 to 31"):
        FarnebackSettings(window_px=40)
    with pytest.raises(UserError, match="FarnebackSettings.scale is 0.4"):
        FarnebackSettings(scale=0.4)
