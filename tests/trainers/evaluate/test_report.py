"""What the report of a run draws and tells."""

import numpy as np
import pytest

from merau.trainers.evaluate import report

FULL = {"uf1": 0.5, "samples": 9}
ONE, TWO, NONE = ({"uf1": uf1, "samples": samples} for uf1, samples in ((0.4, 5), (0.6, 4), (0.0, 0)))


def test_parts_name_databases_where_there_are_several():
    document = {"full": FULL, "by_database": {"a": ONE, "b": TWO, "c": NONE}}
    assert report.parts(document) == [("all", FULL), ("a", ONE), ("b", TWO)]
    assert report.parts({"full": FULL, "by_database": {"a": ONE, "c": NONE}}) == [("all", FULL)]


def test_gains_pair_scores_without_and_with_samples():
    document = {"full": FULL, "by_database": {"a": ONE, "b": TWO}}
    before = {"full": {"uf1": 0.1}, "by_database": {"a": ONE | {"uf1": 0.2}, "b": TWO | {"uf1": 0.3}}}
    assert report.gains(document) == []
    gain = {"full": {"uf1": 0.4}, "by_database": {"a": {"uf1": 0.2}, "b": {"uf1": 0.3}}}
    gained = report.gains(document | {"zero_shot_on_the_same_queries": before, "gain": gain})
    assert gained == [("all", 0.1, 0.5, {"uf1": 0.4}), ("a", 0.2, 0.4, {"uf1": 0.2}), ("b", 0.3, 0.6, {"uf1": 0.3})]


@pytest.mark.parametrize(
    ("protocol", "amount"),
    [
        ("few-shot", "samples of each class shown: 5; draws: 100"),
        ("zero-shot", "nothing learned from this set"),
        ("loso", "passes: 2"),
    ],
)
def test_describe_amount_is_that_of_the_protocol(protocol, amount):
    assert report.describe_amount({"protocol": protocol, "shots": 5, "draws": 100, "seeds": 2}) == amount


def test_confusion_rows_class_without_samples_has_no_share():
    rows = report.confusion_rows({"confusion": [[3, 1], [0, 0]]}, ["a", "b"])
    assert rows == [("a", [(0.75, 3), (0.25, 1)]), ("b", [(0, 0), (0, 0)])]


def test_reliability_leaves_out_bins_of_few_samples():
    bins = [{"confidence": c, "accuracy": c, "share": 0.5, "samples": n} for c, n in ((0.5, 5), (0.9, 4))]
    assert report.reliability({"bins": bins}) == report.reliability({"bins": bins[:1]})
    assert report.reliability({"bins": bins[:1]}).startswith("<svg")


def test_scatter_of_separate_classes_shades_whole_square(task):
    embedding = np.eye(3, 8)[task.label] + np.random.default_rng(0).normal(0, 0.01, (len(task), 8))
    drawn = report.scatter(embedding, task)
    assert drawn.accuracy == 1
    assert [label for label, _, _ in drawn.points] == task.label.tolist()
    assert all(0 <= x <= report.SIDE and 0 <= y <= report.SIDE for _, x, y in drawn.points)
    assert {region.label for region in drawn.regions} == {0, 1, 2}
    assert sum(region.width for region in drawn.regions) == pytest.approx(report.SIDE * report.CELLS)
