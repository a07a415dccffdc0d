"""The task that the baselines learn: three movements on strips of frames, in two databases."""

import numpy as np
import pytest
import torch

from merau.trainers.data import flow_set
from merau.trainers.evaluate.protocols import cross_validate
from merau.trainers.evaluate.task import make_task


@pytest.fixture(scope="session")
def frames_task(frames_index):
    return make_task(flow_set.read(frames_index))


@pytest.fixture
def share_right(frames_task):
    """The share of samples that a model gets right when it learns one database for the other."""

    def measure(model) -> float:
        torch.set_num_threads(1)
        trial = cross_validate(frames_task, model, "lodo", 0)
        assert np.allclose(trial.probabilities.sum(1), 1)
        return (trial.probabilities.argmax(1) == frames_task.label).mean()

    return measure
