"""The table of Action Units."""

import numpy as np

from merau.trainers.data.synth import action_units


def test_field_left_and_right_are_mirrored():
    axis = np.linspace(0, 1, 33)
    for au in action_units.MOVES:
        left, right = (action_units.field(axis, axis, {(au, side): 1.0}) for side in action_units.SIDES)
        np.testing.assert_allclose(left[0], -right[0, :, ::-1], atol=1e-12)
        np.testing.assert_allclose(left[1], right[1, :, ::-1], atol=1e-12)


def test_field_equals_displacement_of_points():
    rng, axis = np.random.default_rng(0), np.linspace(-0.1, 1.1, 12)
    bumps = action_units.perturb(rng, 5)
    intensities = rng.random((5, len(action_units.MOVES), 2))
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    apart = action_units.displacement(points, intensities, bumps)
    together = action_units.field(axis, axis, intensities, bumps)
    np.testing.assert_allclose(np.moveaxis(apart, -1, 1).reshape(together.shape), together, atol=1e-12)
