import numpy as np

from stream.spotter.pulse import pulse


def flows(*u: float) -> np.ndarray:
    """(N, 2, 1, 1): so much to the right in each."""
    return np.array([[[[x]], [[0.0]]] for x in u])


def test_a_rise_that_comes_back_is_a_pulse_as_strong_as_the_lesser_of_both():
    seen = pulse(flows(0.2, 1.0, 0.4), flows(-0.7)[0])
    assert seen.px[0, 0] == 0.7
    assert seen.rose[0, 0] == 1


def test_a_rise_that_goes_on_and_one_that_turns_aside_are_none():
    assert pulse(flows(1.0), flows(0.9)[0]).px[0, 0] == 0
    aside = np.array([[[0.0]], [[1.0]]])
    assert pulse(flows(1.0), aside).px[0, 0] == 0


def test_patches_are_apart():
    earlier, now = np.zeros((2, 2, 14, 13)), np.zeros((2, 14, 13))
    earlier[0, 1, 3, 4], now[1, 3, 4] = -1.5, 1.0
    seen = pulse(earlier, now)
    assert seen.px.shape == (14, 13)
    assert np.argwhere(seen.px).tolist() == [[3, 4]]
