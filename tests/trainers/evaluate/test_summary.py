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


def test_gains_are_counted_draw_by_draw(task):
    def trial(wrong: int) -> Trial:
        predicted = np.eye(3)[task.label]
        predicted[:wrong] = np.eye(3)[(task.label[:wrong] + 1) % 3]
        return Trial(np.arange(len(task)), predicted)

    after, before = [trial(n) for n in (0, 4, 8, 4)], [trial(4)] * 4
    gain = summary.gains(task, after, before)
    seen, unchanged = (summary.scores(task, trials)["full"]["uf1"] for trials in (after, before))
    assert gain["full"]["uf1"] == pytest.approx(seen - unchanged, abs=2e-4)
    assert gain["full"].items() >= {"draws": 4, "lost": 0.25, "won": 0.25}.items()
    assert gain["full"]["uf1_sd"] > 0.01
    assert set(gain["by_database"]) == {"casme2", "samm"}
    nowhere = summary.gains(task, [Trial(np.arange(0), np.empty((0, 3)))], [Trial(np.arange(0), np.empty((0, 3)))])
    assert nowhere == {"full": {"draws": 0}, "by_database": {}}
