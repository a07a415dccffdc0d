import numpy as np

from stream.spotter.pulse import pulses, strongest


def flows(*u: float) -> np.ndarray:
    """(N, 2, 1, 1): so much to the right in each."""
    return np.array([[[[x]], [[0.0]]] for x in u])


def test_a_rise_that_comes_back_is_a_pulse_as_strong_as_the_lesser_of_both():
    assert pulses(flows(0.2, 1.0, 0.4), flows(-0.7)[0]).ravel().tolist() == [0.2, 0.7, 0.4]


def test_a_rise_that_goes_on_and_one_that_turns_aside_are_none():
    assert pulses(flows(1.0), flows(0.9)[0]).item() == 0
    aside = np.array([[[0.0]], [[1.0]]])
    assert pulses(flows(1.0), aside).item() == 0


def test_patches_are_apart():
    earlier, now = np.zeros((2, 2, 14, 13)), np.zeros((2, 14, 13))
    earlier[0, 1, 3, 4], now[1, 3, 4] = -1.5, 1.0
    assert np.argwhere(pulses(earlier, now)).tolist() == [[0, 3, 4]]


def test_patches_that_move_together_are_stronger_than_those_that_move_at_different_times():
    part = np.zeros((14, 13), bool)
    part[2:6, 2:6] = True
    together, scattered = np.zeros((8, 14, 13)), np.zeros((8, 14, 13))
    for i, (row, column) in enumerate(np.argwhere(part)[:8]):
        together[3, row, column] = scattered[i, row, column] = 2.0
    together[:, 0, 0] = 9.0  # outside the part
    assert strongest(together, part, 8).argmax() == 3
    assert strongest(together, part, 8).max() == 2.0
    assert strongest(scattered, part, 8).max() == 2.0 / 8
