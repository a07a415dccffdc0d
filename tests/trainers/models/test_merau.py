"""The ensemble of flow encoders."""

import torch

from merau.engine.preprocess import GRID


def test_classifier_is_weighted_mean_of_members(easy_model):
    flow, magnitude = torch.randn(3, 2, GRID, GRID), torch.zeros(3, 1)
    with torch.no_grad():
        e, aus = easy_model(flow, magnitude)
        alone = [member.classify(member(flow, magnitude)) for member in easy_model.flow.members]
        together = easy_model.classify(e)
    assert e.shape == (3, 80)
    assert aus.shape == (3, 17)
    assert torch.allclose(together, (2 * alone[0] + alone[1]) / 3, atol=1e-5)
