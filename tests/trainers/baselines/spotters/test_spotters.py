"""Every spotting method finds the one movement of a face that is still otherwise."""

import cv2
import numpy as np
import pytest
import torch

from merau.engine.crop import CropSpec
from merau.trainers.baselines.spotters.clip import RATE, SteadyClip, contrast, find_tops
from merau.trainers.baselines.spotters.divide_and_conquer import find_apex
from merau.trainers.spotting.rivals import METHODS

HEIGHT, WIDTH = CropSpec().full
APEX, HALF_S = 45, 0.2  # frame of the apex; half the length of the movement
CORNERS = ((52, 142), (116, 142))  # of the mouth in the full crop


def made(seed: int) -> SteadyClip:
    """Three seconds of texture whose mouth corners rise by 3 px and fall, within 0.4 s."""
    rng = np.random.default_rng(seed)
    face = cv2.GaussianBlur(rng.integers(0, 255, (HEIGHT, WIDTH)).astype(np.float32), (9, 9), 0)
    face = cv2.normalize(face, None, 20, 235, cv2.NORM_MINMAX)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    bump = sum(np.exp(-(((x - cx) / 14) ** 2) - ((y - cy) / 14) ** 2) for cx, cy in CORNERS).astype(np.float32)
    crops = []
    for t in range(round(3 * RATE)):
        level = max(0.0, np.cos(np.pi / 2 * (t - APEX) / (HALF_S * RATE))) if abs(t - APEX) <= HALF_S * RATE else 0
        moved = cv2.remap(face, x, y + np.float32(3 * level) * bump, cv2.INTER_LINEAR)
        crops.append(np.clip(moved + rng.normal(0, 0.5, moved.shape), 0, 255).astype(np.uint8))
    apex_s = APEX / RATE
    span = {"kind": "micro", "onset_s": apex_s - HALF_S, "apex_s": apex_s, "offset_s": apex_s + HALF_S}
    return SteadyClip(f"c{seed}", f"s{seed}", np.stack(crops), (span,))


@pytest.fixture(scope="module")
def clips():
    torch.set_num_threads(1)
    return [made(seed) for seed in range(3)]


@pytest.mark.parametrize("name", METHODS)
def test_method_finds_the_movement(clips, name):
    method = METHODS[name]()
    method.fit(clips[1:])
    micro = [spotted for spotted in method(clips[0]) if spotted.kind == "micro"]
    assert any(abs((one.onset + one.offset) / 2 - APEX) <= 4 for one in micro)
    assert all(0 <= one.onset < one.offset < len(clips[0]) for one in micro)
    assert len(micro) <= 3


def test_find_apex_of_a_single_movement(clips):
    assert abs(find_apex(clips[0].frames) - APEX) <= 1


def test_contrast_leaves_steps_out():
    values = np.zeros(30)
    values[10:] = 1
    values[20] = 3
    assert find_tops(contrast(values, 4), 0.5, 4) == [20]
