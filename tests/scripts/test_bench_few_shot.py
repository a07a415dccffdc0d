"""The databases of bench_few_shot."""

import numpy as np

from scripts.bench_few_shot import DATABASES, draw_databases


def test_databases_are_apart_and_have_the_real_shares():
    data = draw_databases(5, samples=40)
    assert np.unique(data.dataset).tolist() == sorted(DATABASES)
    assert data.image.shape == (240, 28, 28, 3)
    assert np.bincount(data.label).argmax() == 0  # negative, as in the composite set
    assert set(data.label) == {0, 1, 2}
    assert len({image.tobytes() for image in data.image}) == 240
