"""One model by one protocol: its settings, and what its document says."""

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.trainers.evaluate.models import BASELINES
from merau.trainers.evaluate.predict import Predictions
from merau.trainers.evaluate.run import OnSynthetic, RunSettings, database_distances, describe_run, run_trials
from merau.trainers.evaluate.task import with_synthetic


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"protocol": "all"}, "protocol is 'all': choose one of zero-shot"),
        ({"model": "none"}, "model is 'none': choose one of merau"),
        ({"task": "none"}, "task is 'none': choose one of cde"),
        ({"shots": 0}, "shots is 0: choose 1 or more."),
        ({"model": "logistic", "best_epoch": True}, "best_epoch is True: choose it only for off-apexnet"),
    ],
)
def test_run_settings_wrong_choice_is_refused(wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        RunSettings(**wrong)


@pytest.mark.parametrize(("model", "uses"), [("merau", True), ("logistic", False), ("liu", False)])
def test_describe_run_names_bundle_only_where_used(model, uses, task):
    recognizer = Recognizer.load(device="cpu")
    document = describe_run(recognizer, task, RunSettings(model=model), "a set")
    wanted = (recognizer.bundle.name, recognizer.bundle.sha256) if uses else (None, None)
    assert (document["bundle"], document["bundle_sha256"]) == wanted
    assert document["left_out"] == {"no_class_of_the_task": 5}
    assert sum(sum(counts.values()) for counts in document["samples"].values()) == len(task)


def test_database_distances_leave_out_small_databases(task):
    embedding = np.random.default_rng(0).normal(size=(len(task), 4)).astype(np.float32)
    embedding[task.data.dataset == "samm"] += 3
    predictions = Predictions(embedding, embedding, embedding, embedding, (), ())
    (measured,) = database_distances(task, predictions)
    assert (measured["one"], measured["other"]) == ("casme2", "samm")
    assert measured["p"] < 0.01 < measured["mmd2"]


def test_run_trials_passes_have_seeds_of_their_own(task):
    seeds = []

    def model(train, test, *, seed, source=None):
        seeds.append(seed)
        return np.full((len(test), 3), 1 / 3)

    trials, before = run_trials(task, model, RunSettings(protocol="lodo", model="logistic", seeds=2))
    assert (len(trials), before) == (2, [])
    assert sorted(set(seeds)) == [0, 1]


def test_model_trained_on_synthetic_samples_knows_the_set(task):
    everything = with_synthetic(task, 300, 0)
    assert len(everything) == len(task) + 300
    assert set(everything.data.aus[len(task) :]) > {"4"}
    model = OnSynthetic(BASELINES["logistic"](everything), everything)
    (trial,), _ = run_trials(task, model, RunSettings(model="logistic", train="synthetic"))
    assert (trial.probabilities.argmax(1) == task.label).mean() > 0.6


def test_synthetic_training_is_for_zero_shot_only():
    with pytest.raises(UserError, match="train is 'synthetic': choose it only for zero-shot"):
        RunSettings(model="logistic", protocol="loso", train="synthetic")
