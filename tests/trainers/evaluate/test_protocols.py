"""Splits, episodes and pooled scores on a small flow set of drawn flow, and the documents that the commands write."""

import json

import numpy as np
import pytest
import torch

from merau.engine.errors import UserError
from merau.trainers.baselines.liu import Liu
from merau.trainers.baselines.network import Network, Training
from merau.trainers.cli import main
from merau.trainers.data import flow_set
from merau.trainers.evaluate import protocols, summary
from merau.trainers.evaluate.protocols import SPLITS, Trial, cross_validate, episodes, few_shot
from merau.trainers.evaluate.task import make_task


@pytest.fixture(scope="module")
def task(index):
    return make_task(flow_set.read(index))


class Honest:
    """Answers right, and notes whom it was trained on."""

    def __init__(self, task):
        self.task, self.seen = task, []

    def __call__(self, train, test, *, seed, source=None):
        self.seen.append((train, test))
        return np.eye(3)[self.task.label[test]]


@pytest.mark.parametrize("split", SPLITS)
def test_every_sample_is_tested_once_and_never_trained_on(task, split):
    learner = Honest(task)
    trial = cross_validate(task, learner, split, 0)
    assert sorted(np.concatenate([test for _, test in learner.seen])) == list(range(len(task)))
    assert all(not set(train) & set(test) for train, test in learner.seen)
    assert summary.scores(task, [trial])["full"]["uf1"] == 1


def test_folds_in_several_processes_give_the_same_numbers(task):
    few = make_task(task.data.take(np.arange(0, len(task), 3)))
    net = Network(few, torch.from_numpy(few.flow), Liu, training=Training(epochs=1))
    torch.set_num_threads(1)
    one, two = (cross_validate(few, net, "lodo", 3, processes=n).probabilities for n in (1, 2))
    assert (one == two).all()
    assert len(np.unique(one)) > len(few)


def test_nobody_is_on_both_sides_of_leave_one_subject_out(task):
    learner = Honest(task)
    cross_validate(task, learner, "loso", 0)
    people = task.data.person
    assert len(learner.seen) == 10  # s0..s4 of two databases are ten people
    assert all(not set(people[train]) & set(people[test]) for train, test in learner.seen)


def test_an_episode_shows_so_many_of_each_class_and_asks_the_rest_of_the_database(task):
    for episode in episodes(task, 3, seed=1):
        shown = task.label[episode.support]
        assert list(np.bincount(shown)) == [3, 3, 3]
        database = set(task.data.dataset[episode.support])
        assert database == set(task.data.dataset[episode.query])
        assert len(database) == 1
        assert not database & set(task.data.dataset[episode.source])
        assert not set(episode.support) & set(episode.query)
    first, again, other = (episodes(task, 3, seed=s)[0].support for s in (1, 1, 2))
    assert list(first) == list(again) != list(other)


def test_a_class_too_small_for_the_shots_is_not_asked(task):
    few = task.data.dataset[np.flatnonzero(task.label == 2)[0]]
    keep = (task.label != 2) | (task.data.dataset != few)
    keep[np.flatnonzero(task.label == 2)[:1]] = True
    smaller = make_task(task.data.take(keep))
    after, before = few_shot(smaller, Honest(smaller), shots=2, seed=0)
    rows = smaller.data.dataset[after.rows] == few
    assert set(smaller.label[after.rows][rows]) == {0, 1}
    assert list(before.rows) == list(after.rows)
    with pytest.raises(UserError, match="fewer shots"):
        episodes(smaller, 100, seed=0)


def test_scores_are_pooled_over_folds_and_their_interval_is_over_people(task):
    said = np.eye(3)[task.label]
    wrong = task.data.person == 0
    said[wrong] = np.eye(3)[(task.label[wrong] + 1) % 3]
    done = summary.scores(task, [Trial(np.arange(len(task)), said)] * 2)
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


def test_a_sample_whose_unit_was_left_open_takes_no_part_in_its_score():
    coded = [*["12"] * 5, *["4"] * 5, *["4/12"] * 3, ""]
    said = np.array([*[0.9] * 5, *[0.1] * 5, *[0.95] * 3, 0.99])[:, None]
    assert summary.au_scores(coded, said, ["12"]) == {"12": 1.0}
    assert summary.au_scores(coded[1:], said[1:], ["12"]) == {}  # four are too few


def test_zero_and_few_shots_of_the_shipped_bundle(index, tmp_path):
    out = tmp_path / "few.json"
    arguments = ["evaluate", "--flows", str(index), "--json", str(out), "--draws", "3", "--shots", "2"]
    assert main([*arguments, "--protocol", "few-shot"]) == 0
    few = json.loads(out.read_text())
    assert few["protocol"] == "few-shot"
    assert few["left_out"] == {"no_class_of_the_task": 5}
    assert few["full"]["uf1"] > 0.7
    assert few["zero_shot_on_the_same_queries"]["full"]["uf1"] > 0.7
    assert few["au_auc"]["12"] > 0.9
    assert "warning" not in few
    assert few["transductive"].startswith("Transductive: for casme2, samm the crop was searched")
    weight = few["lesson_weight"]
    assert weight["lessons"] == 6
    assert 0 <= weight["mean"] <= 1
    assert (weight["lessons_of_weight_0"] == 6) == (weight["mean"] == 0)
    page = (tmp_path / "few.html").read_text()
    assert "the crop was searched" in page
    assert "Mean weight of the samples shown" in page
    assert all(f"<rect class=c{c}" in page for c in range(3))  # each class has its region
    assert "<svg" in page
    assert "negative" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")

    assert main([*arguments, "--protocol", "zero-shot"]) == 0
    zero = json.loads(out.read_text())
    assert zero["full"]["uf1"] > 0.7
    assert "lesson_weight" not in zero


def test_classes_the_bundle_does_not_know_are_taught(index, tmp_path, capsys):
    arguments = ["evaluate", "--flows", str(index), "--protocol", "few-shot", "--task", "hard", "--draws", "2"]
    for model in ("merau", "merau-cd"):
        assert main([*arguments, "--model", model]) == 0
        done = json.loads(capsys.readouterr().out)
        assert done["classes"] == ["repression", "tense"]
        assert done["full"]["acc"] > 0.7


def test_a_baseline_is_trained_on_the_set_alone(index, capsys):
    assert main(["evaluate", "--flows", str(index), "--protocol", "lodo", "--model", "logistic"]) == 0
    printed = capsys.readouterr()
    done = json.loads(printed.out)
    assert done["bundle"] is None
    assert done["full"]["uf1"] > 0.5
    assert "transductive" not in done
    assert printed.err.startswith("No report was written: --json")
    assert main(["evaluate", "--flows", str(index), "--protocol", "zero-shot", "--model", "logistic"]) == 1


def test_what_cannot_be_run_is_said_in_a_sentence(index, capsys):
    flows = ["evaluate", "--flows", str(index)]
    for arguments, sentence in (
        (flows, "give --protocol and --flows together"),
        (["evaluate", "--protocol", "loso"], "give --protocol and --flows together"),
        ([*flows, "--protocol", "all"], "protocol is 'all': choose one of zero-shot"),
        ([*flows, "--protocol", "few-shot", "--shots", "0"], "shots is 0: choose 1 or more."),
        ([*flows, "--protocol", "loso", "--best-epoch"], "merau is not trained in epochs"),
        ([*flows, "--protocol", "loso", "--task", "easy"], "names 1 of them"),
    ):
        assert main(arguments) == 1
        assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_one_database_cannot_be_left_out(task):
    one = make_task(task.data.take(task.data.dataset == "samm"))
    with pytest.raises(UserError, match="all samples are of samm"):
        cross_validate(one, Honest(one), "lodo", 0)
    assert len(list(protocols.by_sample(one, 0))) == len(one)
