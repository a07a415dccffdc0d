"""Every method of the survey learns what it is shown, and says what it lacks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from merau.engine.errors import UserError
from merau.trainers.baselines.network import Network
from merau.trainers.data import flow_set
from merau.trainers.evaluate.models import BASELINES, NETWORKS
from merau.trainers.evaluate.task import make_task

FROM_FLOW = ("hoof", "fhofo", "bi-woof", "mdmo", "strain")
NETWORKS_OF_FLOW = ("off-apexnet", "ststnet", "dual-inception", "rcn", "au-graph")
EPOCHS = {"ststnet": 40, "rcn": 20}  # enough for 40 easy samples; the others need 12
FROM_FRAMES = ("lbp-sip", "hog-top", "higo-top", "dynamic-image", "apex-resnet", "cnn3d")


@pytest.mark.parametrize("name", [*FROM_FLOW, *NETWORKS_OF_FLOW, *FROM_FRAMES])
def test_method_learns_what_it_is_shown(frames_task, name):
    torch.set_num_threads(1)
    model, shown = (BASELINES | NETWORKS)[name](frames_task), np.arange(40)
    if isinstance(model, Network):
        model = replace(model, training=replace(model.training, epochs=EPOCHS.get(name, 12)))
    assert (model(shown, shown, seed=0).argmax(1) == frames_task.label[shown]).mean() >= 0.95


@pytest.mark.parametrize("name", FROM_FRAMES)
def test_method_without_frames_is_refused(frames_task, name):
    bare = flow_set.FlowSet(**{**vars(frames_task.data), "frames": np.full(len(frames_task), "")})
    with pytest.raises(UserError, match=f"{name} needs frames"):
        (BASELINES | NETWORKS)[name](make_task(bare))


@pytest.mark.parametrize(("name", "published"), [("ststnet", 1651)])
def test_method_has_as_many_parameters_as_published(frames_task, name, published):
    model = NETWORKS[name](frames_task)
    assert isinstance(model, Network)
    norms = [module for module in model.build(3).modules() if isinstance(module, torch.nn.BatchNorm2d)]
    everything = sum(p.numel() for p in model.build(3).parameters())
    assert everything - sum(p.numel() for norm in norms for p in norm.parameters()) == published
