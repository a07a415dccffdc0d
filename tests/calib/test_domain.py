import numpy as np
import pytest

from merau.calib.domain import domain_distance
from merau.engine.errors import UserError


def test_samples_of_one_domain_have_no_distance():
    rng = np.random.default_rng(0)
    found = domain_distance(rng.normal(0, 1, (80, 12)), rng.normal(0, 1, (400, 12)))
    assert abs(found.mmd2) < 0.02
    assert found.p_value > 0.05
    assert found.samples == 80


def test_distance_grows_with_domain_shift():
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 1, (200, 12))
    near, far = (domain_distance(rng.normal(shift, 1, (80, 12)), reference) for shift in (0.3, 1.0))
    assert near.p_value < 0.05
    assert far.p_value < 0.01
    assert far.mmd2 > 2 * near.mmd2


def test_too_few_samples_are_refused():
    with pytest.raises(UserError, match="needs 10 samples, but there are 4"):
        domain_distance(np.zeros((4, 3)), np.zeros((50, 3)))
