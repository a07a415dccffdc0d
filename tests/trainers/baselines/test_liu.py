"""Liu's recognizer on flow."""

import torch

from merau.trainers.baselines.liu import Liu, ReversedGradient, make_model


def test_liu_output_shapes():
    embedding, logits = Liu(3)(torch.randn((2, 2, 32, 32)))
    assert embedding.shape == (2, 256)
    assert logits.shape == (2, 3)


def test_liu_learns_one_database_for_the_other(frames_task, share_right):
    assert share_right(make_model(frames_task)) > 0.8


def test_reversed_gradient_is_identity_going_forward():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = ReversedGradient.apply(x)
    (3 * y).sum().backward()
    assert torch.equal(y, x)
    assert x.grad.tolist() == [-3, -3]
