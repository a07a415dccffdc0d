"""The task that the baselines learn: three movements on strips of frames, in two databases."""

import numpy as np
import pytest
import torch

from merau.trainers.evaluate.protocols import cross_validate


@pytest.fixture
def share_right(frames_task):
    """The share of samples that a model gets right when it learns one database for the other."""

    def measure(model) -> float:
        torch.set_num_threads(1)
        trial = cross_validate(frames_task, model, "lodo", 0)
        assert np.allclose(trial.probabilities.sum(1), 1)
        return (trial.probabilities.argmax(1) == frames_task.label).mean()

    return measure
