"""CapsuleNet on the apex frame."""

import torch

from merau.trainers.baselines.capsule import CapsuleNet, make_model, squash


def test_capsule_output_shapes():
    embedding, logits = CapsuleNet(3)(torch.randn((2, 1, 64, 64)))
    assert embedding.shape == (2, 48)
    assert logits.shape == (2, 3)


def test_capsule_learns_one_database_for_the_other(frames_task, share_right):
    assert share_right(make_model(frames_task)) > 0.8


def test_squash_keeps_direction_and_bounds_length():
    long, short = squash(torch.tensor([[30.0, 40.0], [0.0, 0.0]]))
    assert torch.allclose(long, torch.tensor([0.6, 0.8]) * 2500 / 2501)
    assert torch.equal(short, torch.zeros(2))
