"""Pooled scores of trials."""

import numpy as np
import pytest

from merau.trainers.evaluate import summary
from merau.trainers.evaluate.protocols import Trial


def test_scores_pooled_with_interval_over_people(task):
    predicted = np.eye(3)[task.label]
    wrong = task.data.person == 0
    predicted[wrong] = np.eye(3)[(task.label[wrong] + 1) % 3]
    done = summary.scores(task, [Trial(np.arange(len(task)), predicted)] * 2)
    full = done["full"]
    assert full["acc"] == pytest.approx(1 - wrong.mean(), abs=1e-4)
    assert full["acc_sd"] == 0
    low, high = full["acc_interval"]
    assert low < full["acc"] < high == 1
    assert np.array(full["confusion"]).sum() == len(task)
    assert full["classes"]["negative"]["recall"] == pytest.approx(
        full["confusion"][0][0] / (task.label == 0).sum(), abs=1e-4
    )
    assert {name: part["subjects"] for name, part in done["by_database"].items()} == {"casme2": 5, "samm": 5}


def test_au_scores_undecided_units_are_left_out():
    coded = [*["12"] * 5, *["4"] * 5, *["4/12"] * 3, ""]
    predicted = np.array([*[0.9] * 5, *[0.1] * 5, *[0.95] * 3, 0.99])[:, None]
    assert summary.au_scores(coded, predicted, ["12"]) == {"12": 1.0}
    assert summary.au_scores(coded[1:], predicted[1:], ["12"]) == {}  # four are too few
