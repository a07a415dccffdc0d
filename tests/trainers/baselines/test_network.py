"""Training of the baselines that are networks."""

import numpy as np
import torch

from merau.trainers.baselines.liu import Liu
from merau.trainers.baselines.network import Network, Training
from merau.trainers.evaluate.protocols import few_shot


def test_network_few_shot_pretrains_on_source(frames_task):
    task = frames_task
    learner = Network(task, torch.from_numpy(task.flow), Liu, training=Training(epochs=10))
    after, before = few_shot(task, learner, shots=2, seed=0)
    assert not len(before.rows)
    assert len(learner.pretrained) == 2
    assert (after.probabilities.argmax(1) == task.label[after.rows]).mean() > 0.8


def test_network_single_class_source_is_ignored(frames_task):
    task = frames_task
    learner = Network(task, torch.from_numpy(task.flow), Liu, training=Training(epochs=1))
    shown, source = np.arange(6), np.flatnonzero(task.label == task.label[-1])
    learner(shown, np.arange(6, 9), seed=0, source=source)
    assert not learner.pretrained


def test_network_best_epoch_is_not_worse(frames_task):
    torch.set_num_threads(1)
    task, train, test = frames_task, np.arange(6), np.arange(6, 48)
    right = {}
    for best in (False, True):
        learner = Network(task, torch.from_numpy(task.flow), Liu, best_epoch=best, training=Training(epochs=6))
        right[best] = (learner(train, test, seed=0).argmax(1) == task.label[test]).mean()
    assert right[True] >= right[False]
