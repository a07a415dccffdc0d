"""Warps: control points go where the table says, and what is held stays."""

import numpy as np

from merau.trainers.data.synth import warps
from merau.trainers.data.synth.action_units import displacement


def test_control_points_move_as_wanted(monkeypatch):
    monkeypatch.setattr(warps, "POINT_SD", 0.0)
    skin = warps.draw_warp(np.random.default_rng(0))
    points = np.array(list(warps.POINTS.values()))
    for au, moved in warps.WARPS.items():
        wanted = np.array([moved.get(name, (0.0, 0.0)) for name in warps.POINTS]) * (-1, 1)
        np.testing.assert_allclose(displacement(points, {(au, "left"): 1.0}, skin), wanted, atol=0.25)


def test_sides_mirror_each_other():
    skin = warps.draw_warp(np.random.default_rng(1))
    points = np.random.default_rng(2).uniform(-0.1, 1.1, (50, 2))
    left = displacement(points, {(12, "left"): 1.0}, skin)
    right = displacement(points * (-1, 1) + (1, 0), {(12, "right"): 1.0}, skin)
    np.testing.assert_allclose(left, right * (-1, 1), atol=1e-9)
