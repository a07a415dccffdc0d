import numpy as np
import pytest

from merau.trainers.evaluate import metrics


def test_class_scores_by_hand():
    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    scores = metrics.class_scores(labels, predicted, 3)
    assert scores["acc"] == pytest.approx(4 / 6)
    assert scores["uar"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert scores["uf1"] == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)


def test_auc_counts_ordered_pairs():
    truth, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.8])
    assert metrics.auc(truth, score) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert np.isnan(metrics.auc(np.ones(3), np.ones(3)))


def test_f1_by_hand():
    assert metrics.f1(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0])) == pytest.approx(0.5)
    assert np.isnan(metrics.f1(np.array([0, 0]), np.array([1, 0])))
