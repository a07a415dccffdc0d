"""VGG on the apex frame."""

import torch

from merau.trainers.baselines.vgg import Vgg, make_model


def test_vgg_output_shapes():
    embedding, logits = Vgg(3)(torch.randn((2, 1, 64, 64)))
    assert embedding.shape == (2, 128)
    assert logits.shape == (2, 3)


def test_vgg_learns_one_database_for_the_other(frames_task, share_right):
    assert share_right(make_model(frames_task)) > 0.8
