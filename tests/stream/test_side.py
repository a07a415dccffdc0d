import numpy as np
import pytest

from merau.stream.side import side_of


def flow(left_px: float, right_px: float) -> np.ndarray:
    """A brow of each half of the picture that goes up, under noise."""
    y, x = np.mgrid[:128, :128]
    bump = [np.exp(-(((x - at) / 16) ** 2) - ((y - 20) / 10) ** 2) for at in (32, 96)]
    field = np.random.default_rng(0).normal(0, 0.02, (2, 128, 128))
    field[1] -= left_px * bump[0] + right_px * bump[1]
    return field.astype(np.float32)


@pytest.mark.parametrize(
    ("left_px", "right_px", "side"),
    [(0.2, 2.0, "left"), (2.0, 0.2, "right"), (2.0, 1.2, "both"), (0.2, 0.1, ""), (0.0, 0.0, "")],
)
def test_side_is_that_of_the_person(left_px, right_px, side):
    assert side_of(flow(left_px, right_px)) == side
