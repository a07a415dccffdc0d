"""Splits and episodes on a small flow set of drawn flow."""

import numpy as np
import pytest
import torch

from merau.engine.errors import UserError
from merau.trainers.baselines.liu import Liu
from merau.trainers.baselines.network import Network, Training
from merau.trainers.evaluate import protocols, summary
from merau.trainers.evaluate.protocols import SPLITS, cross_validate, draw_episodes, few_shot
from merau.trainers.evaluate.task import make_task


class Honest:
    """Answers right, and notes whom it was trained on."""

    def __init__(self, task):
        self.task, self.seen = task, []

    def __call__(self, train, test, *, seed, source=None):
        self.seen.append((train, test))
        return np.eye(3)[self.task.label[test]]


@pytest.mark.parametrize("split", [split for split in SPLITS if split != "3-to-2"])
def test_cross_validate_tests_each_sample_once_untrained(task, split):
    learner = Honest(task)
    trial = cross_validate(task, learner, split, 0)
    assert sorted(np.concatenate([test for _, test in learner.seen])) == list(range(len(task)))
    assert all(not set(train) & set(test) for train, test in learner.seen)
    assert summary.scores(task, [trial])["full"]["uf1"] == 1


def test_three_to_two_divides_subjects(task):
    learner = Honest(task)
    trial = cross_validate(task, learner, "3-to-2", 0)
    ((train, test),) = learner.seen
    person = task.data.person
    assert not set(person[train]) & set(person[test])
    assert len(np.unique(person[test])) == round(0.4 * len(np.unique(person)))
    assert trial.rows.tolist() == sorted(test)
    assert set(cross_validate(task, learner, "3-to-2", 1).rows) != set(test)


def test_cross_validate_processes_give_equal_numbers(task):
    few = make_task(task.data.take(np.arange(0, len(task), 3)))
    net = Network(few, torch.from_numpy(few.flow), Liu, training=Training(epochs=1))
    torch.set_num_threads(1)
    one, two = (cross_validate(few, net, "lodo", 3, processes=n).probabilities for n in (1, 2))
    assert (one == two).all()
    assert len(np.unique(one)) > len(few)


def test_loso_subject_never_on_both_sides(task):
    learner = Honest(task)
    cross_validate(task, learner, "loso", 0)
    people = task.data.person
    assert len(learner.seen) == 10  # s0..s4 of two databases are ten people
    assert all(not set(people[train]) & set(people[test]) for train, test in learner.seen)


def test_draw_episodes_splits_each_database_by_shots(task):
    for episode in draw_episodes(task, 3, seed=1):
        shown = task.label[episode.support]
        assert list(np.bincount(shown)) == [3, 3, 3]
        database = set(task.data.dataset[episode.support])
        assert database == set(task.data.dataset[episode.query])
        assert len(database) == 1
        assert not database & set(task.data.dataset[episode.source])
        assert not set(episode.support) & set(episode.query)
    first, again, other = (draw_episodes(task, 3, seed=s)[0].support for s in (1, 1, 2))
    assert list(first) == list(again) != list(other)


def test_few_shot_class_with_too_few_samples_is_left_out(task):
    few = task.data.dataset[np.flatnonzero(task.label == 2)[0]]
    keep = (task.label != 2) | (task.data.dataset != few)
    keep[np.flatnonzero(task.label == 2)[:1]] = True
    smaller = make_task(task.data.take(keep))
    after, before = few_shot(smaller, Honest(smaller), shots=2, seed=0)
    rows = smaller.data.dataset[after.rows] == few
    assert set(smaller.label[after.rows][rows]) == {0, 1}
    assert list(before.rows) == list(after.rows)
    with pytest.raises(UserError, match="fewer shots"):
        draw_episodes(smaller, 100, seed=0)


def test_lodo_single_database_is_refused(task):
    one = make_task(task.data.take(task.data.dataset == "samm"))
    with pytest.raises(UserError, match="all samples are of samm"):
        cross_validate(one, Honest(one), "lodo", 0)
    assert len(list(protocols.by_sample(one, 0))) == len(one)
