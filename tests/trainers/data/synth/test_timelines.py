"""Ramps and actions over time."""

import numpy as np
import pytest

from merau.trainers.data.synth import timelines


def test_micro_rises_to_apex_and_falls_to_offset():
    rng = np.random.default_rng(1)
    for _ in range(50):
        action = timelines.micro(rng, 1.0, {"12 left": 2.0}, "positive", 2.0)
        assert 0.16 <= action.offset_s - action.onset_s <= 0.5
        times = np.linspace(action.onset_s - 0.1, action.offset_s + 0.1, 2001)
        level = np.array([timelines.channels_at([action], t_s).get("12 left", 0.0) for t_s in times])
        assert abs(times[level.argmax()] - action.apex_s) < 1e-3
        assert level.max() == pytest.approx(2.0, abs=1e-3)
        assert np.all(np.diff(level[: level.argmax()]) >= 0)
        assert np.all(np.diff(level[level.argmax() :]) <= 0)
