"""Logistic regression on raw flow."""

import numpy as np
import pytest

from merau.trainers.baselines.logistic import Logistic, mean_cells
from merau.trainers.evaluate.protocols import NeedsSamples


def test_logistic_learns_one_database_for_the_other(frames_task, share_right):
    assert share_right(Logistic(frames_task)) > 0.8


def test_logistic_shown_one_class_answers_it(frames_task):
    one = np.flatnonzero(frames_task.label == 2)[:3]
    assert Logistic(frames_task)(one, np.arange(2), seed=0).tolist() == [[0, 0, 1]] * 2


def test_logistic_without_samples_is_refused(frames_task):
    with pytest.raises(NeedsSamples):
        Logistic(frames_task)(np.arange(0), np.arange(2), seed=0)


def test_mean_cells_by_hand():
    flow = np.zeros((1, 2, 32, 32), np.float32)
    flow[0, 1, :2, 2:4] = [[1, 2], [3, 6]]
    cells = mean_cells(flow).reshape(2, 16, 16)
    assert cells[1, 0, 1] == 3
    assert np.count_nonzero(cells) == 1
