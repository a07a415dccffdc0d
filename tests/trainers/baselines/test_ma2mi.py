"""MA2MI: pre-training without labels, then fine-tuning."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from merau.engine.errors import UserError
from merau.trainers.baselines.ma2mi import (
    Dit,
    Encoder,
    Ma2miSettings,
    MiacNet,
    cross_face_loss,
    distinct_loss,
    equivariance_loss,
    make_model,
    pre_train,
)

QUICK = Ma2miSettings(size_px=32, width=4, steps=5, epochs=14, rate=6e-3)


def test_ma2mi_learns_what_it_is_shown(frames_task):
    torch.set_num_threads(1)
    model, shown = make_model("ma2mi", QUICK, frames_task, frames_task.data), np.arange(40)
    assert (model(shown, shown, seed=0).argmax(1) == frames_task.label[shown]).mean() >= 0.95
    assert len(model.trained) == 1


def test_ma2mi_without_macro_expressions_is_refused(frames_task):
    with pytest.raises(UserError, match="pre-trained on macro-expressions"):
        make_model("ma2mi", QUICK, frames_task, None)
    make_model("ma2mi-without-pretraining", replace(QUICK, pre_train=False), frames_task, None)


def test_pre_training_needs_no_labels_and_changes_both_encoders():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    before = MiacNet(QUICK)
    after = pre_train(torch.randn(6, 8, 32, 32), QUICK, 0)
    for name in ("action.0.weight", "position.0.weight"):
        assert not torch.equal(before.state_dict()[name], after.state_dict()[name])


def test_transformer_predicts_no_change_at_first():
    latent = torch.randn(2, 4, 4, 4)
    assert torch.equal(Dit(QUICK)(latent, torch.randn(2, QUICK.condition)), latent)


def test_position_losses_measure_what_they_name():
    torch.manual_seed(0)
    same = torch.ones(2, 4, 2, 2)
    corners = torch.eye(4).view(1, 4, 2, 2).repeat(2, 1, 1, 1)
    assert distinct_loss(same) > 0.99 > 0.01 > distinct_loss(corners).abs()
    assert cross_face_loss(corners.clone()).abs() < 1e-6
    assert cross_face_loss(corners.flip(-1)).abs() < 1e-6  # a match of one to one, wherever it lies
    blurred = torch.nn.AvgPool2d(3, 1, 1)  # turns and shifts as its input does
    frame = torch.nn.functional.interpolate(torch.randn(2, 1, 4, 4), (32, 32), mode="bilinear")
    rough = equivariance_loss(Encoder(QUICK), frame, Encoder(QUICK)(frame))
    assert equivariance_loss(blurred, frame, blurred(frame)) < 0.2 < rough
