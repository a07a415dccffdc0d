"""The baselines as the protocols call them."""

import json

import numpy as np
import pytest
import torch

from merau.trainers.baselines.capsule import CapsuleNet
from merau.trainers.baselines.liu import Liu
from merau.trainers.baselines.network import Network, Training
from merau.trainers.baselines.vgg import Vgg
from merau.trainers.cli import main
from merau.trainers.data import flow_set
from merau.trainers.evaluate.models import BASELINES, NETWORKS
from merau.trainers.evaluate.protocols import cross_validate, few_shot
from merau.trainers.evaluate.task import make_task


@pytest.fixture(scope="module")
def task(frames_index):
    return make_task(flow_set.read(frames_index))


@pytest.mark.parametrize("model", [*BASELINES, *NETWORKS])
def test_baseline_learns_one_database_for_the_other(model, task):
    torch.set_num_threads(1)
    learner = {**BASELINES, **NETWORKS}[model](task)
    trial = cross_validate(task, learner, "lodo", 0)
    assert np.allclose(trial.probabilities.sum(1), 1)
    assert (trial.probabilities.argmax(1) == task.label).mean() > 0.8


def test_baseline_without_frames_is_refused(task, capsys):
    bare = flow_set.FlowSet(**{**vars(task.data), "frames": np.full(len(task), "")})
    with pytest.raises(Exception, match="vgg needs frames"):
        NETWORKS["vgg"](make_task(bare))


@pytest.mark.parametrize(
    ("net", "inputs", "features"),
    [(Vgg, (2, 1, 64, 64), 128), (CapsuleNet, (2, 1, 64, 64), 48), (Liu, (2, 2, 32, 32), 256)],
)
def test_network_output_shapes(net, inputs, features):
    embedding, logits = net(3)(torch.randn(inputs))
    assert embedding.shape == (2, features)
    assert logits.shape == (2, 3)


def test_network_few_shot_pretrains_on_source(task):
    learner = Network(task, torch.from_numpy(task.flow), Liu, training=Training(epochs=10))
    after, before = few_shot(task, learner, shots=2, seed=0)
    assert not len(before.rows)
    assert len(learner.pretrained) == 2
    assert (after.probabilities.argmax(1) == task.label[after.rows]).mean() > 0.8


def test_network_single_class_source_is_ignored(task):
    learner = Network(task, torch.from_numpy(task.flow), Liu, training=Training(epochs=1))
    shown, source = np.arange(6), np.flatnonzero(task.label == task.label[-1])
    learner(shown, np.arange(6, 9), seed=0, source=source)
    assert not learner.pretrained


def test_network_best_epoch_is_not_worse_and_is_marked(task, frames_index, capsys):
    torch.set_num_threads(1)
    train, test = np.arange(6), np.arange(6, 48)
    right = {}
    for best in (False, True):
        learner = Network(task, torch.from_numpy(task.flow), Liu, best_epoch=best, training=Training(epochs=6))
        right[best] = (learner(train, test, seed=0).argmax(1) == task.label[test]).mean()
    assert right[True] >= right[False]
    arguments = ["evaluate", "--flows", str(frames_index), "--protocol", "lodo", "--model", "liu", "--best-epoch"]
    assert main(arguments) == 0
    assert "TEST" in json.loads(capsys.readouterr().out)["warning"]
