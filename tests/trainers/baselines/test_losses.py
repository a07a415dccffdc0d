"""Losses of the survey's networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from merau.trainers.baselines.losses import LOSSES
from merau.trainers.baselines.network import Training
from merau.trainers.evaluate.models import NETWORKS


def test_focal_loss_without_focus_on_hard_samples_is_smaller_than_cross_entropy():
    embedding, logits, label = torch.zeros(2, 3), torch.tensor([[3.0, 0], [0, 3.0]]), torch.tensor([0, 1])
    p = functional.softmax(logits, 1)[0, 0]
    expected = (1 - p) ** 2 * functional.cross_entropy(logits, label)
    assert torch.allclose(LOSSES["focal"](embedding, logits, label), expected)


@pytest.mark.parametrize("name", ["center", "triplet", "contrastive"])
def test_metric_losses_ask_classes_apart(name):
    logits, label = torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
    mixed = torch.tensor([[1.0, 0], [-1, 0], [1, 0], [-1, 0]])
    assert LOSSES[name](apart, logits, label) < LOSSES[name](mixed, logits, label)
    assert torch.allclose(LOSSES[name](apart, logits, label), functional.cross_entropy(logits, label))


@pytest.mark.parametrize("name", ["focal", "center", "triplet", "contrastive"])
def test_network_learns_by_every_loss(frames_task, name):
    torch.set_num_threads(1)
    training = Training(epochs=20, rate=1e-2)
    model, shown = replace(NETWORKS["ststnet"](frames_task), loss=name, training=training), np.arange(48)
    assert (model(shown, shown, seed=0).argmax(1) == frames_task.label).mean() >= 0.9
