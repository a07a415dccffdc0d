"""Facial motion of several cameras with their flow on the GPU, on a device or on the stub driver."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.stream.spotter.features import extract, motion_between, on_gpu
from merau.trainers.data.synth.timelines import Act, Pulse


@pytest.mark.gpu
def test_cameras_that_ask_together_get_what_the_cpu_gives(film):
    smile = Act("micro", (Pulse(0.05, 0.3, 0.5, {"12 left": 2.0, "12 right": 2.0}),))
    first, *others = (extract(crop) for crop in film([smile], (0, 0.1, 0.2, 0.3)))
    flow = on_gpu(CropSpec())
    with ThreadPoolExecutor(len(others)) as cameras:
        seen = list(cameras.map(lambda now: motion_between(first, now, CropSpec(), flow), others))
    for now, found in zip(others, seen, strict=True):
        now.motions.clear()
        true = motion_between(first, now, CropSpec())
        assert np.abs(found.patches - true.patches).max() < 0.01
        assert np.abs(found.turn - true.turn).max() < 0.01
    assert np.hypot(*seen[-1].patches).max() > 0.5
