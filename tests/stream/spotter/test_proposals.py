import numpy as np
import pytest

from merau.stream.spotter.proposals import reversal_score

FLOOR = np.full((14, 13), 0.1)
PART = np.zeros((14, 13), bool)
PART[2:6, 2:6] = True


def flows(*u: float) -> np.ndarray:
    """(N, 2, 14, 13): the part moves so much to the right in each, pixels."""
    moved = np.zeros((len(u), 2, 14, 13))
    moved[:, 0, PART] = np.array(u)[:, None]
    return moved


def strength(earlier: np.ndarray, now: np.ndarray, *parts: np.ndarray) -> list[float]:
    return reversal_score(earlier, now, FLOOR, np.stack(parts or (PART,))).ravel().tolist()


def test_score_is_the_geometric_mean_of_rise_and_fall():
    assert strength(flows(0.1, 0.4), flows(-0.9)[0]) == pytest.approx([3.0, 6.0])


def test_rise_that_goes_on_or_turns_aside_scores_zero():
    aside = flows(0.4)[0, ::-1]
    assert strength(flows(0.4), flows(0.4)[0]) == strength(flows(0.4), aside) == [0.0]


def test_parts_score_independently():
    assert strength(flows(0.4), flows(-0.4)[0], PART, ~PART) == pytest.approx([4.0, 0.0])


def test_patches_that_go_on_reduce_the_score():
    now = flows(-0.4)[0]
    now[:, 2] *= -1  # one row of four
    assert strength(flows(0.4), now) == pytest.approx([4.0 * 0.5**0.5])
