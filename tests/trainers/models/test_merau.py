"""The ensemble of flow encoders."""

import torch

from merau.engine.preprocess import GRID
from merau.trainers.learn.fusion import FlowTraining, new_flow_module
from merau.trainers.models.merau import EVIDENCE_SHARE, GatedClassifier, Merau, mirror


def test_classifier_is_mean_of_members_behind_a_gate(easy_model):
    flow, magnitude = torch.randn(3, 2, GRID, GRID), torch.zeros(3, 1)
    views, sizes = torch.cat([flow, mirror(flow)]), torch.zeros(6, 1)
    with torch.no_grad():
        e, aus = easy_model(flow, magnitude)
        alone = [member.classify(member(views, sizes)).reshape(2, 3, 3).mean(0) for member in easy_model.flow.members]
        nothing = easy_model.flow.nothing.classify(easy_model.flow.nothing(flow, magnitude))
        together = easy_model.classify(e)
    assert isinstance(easy_model.classify, GatedClassifier)
    assert e.shape == (3, 2 * 64 + 16)
    assert aus.shape == (3, 17)
    assert torch.allclose(together[:, :3], sum(alone) / 2, atol=1e-5)
    assert torch.allclose(together.softmax(1)[:, 3:], nothing.sigmoid(), atol=1e-5)


def test_evidence_of_units_speaks_for_its_class():
    torch.manual_seed(0)
    plain = Merau(new_flow_module(FlowTraining(nets=1, perceptrons=0), 4, ())).eval()
    torch.manual_seed(0)
    helped = Merau(new_flow_module(FlowTraining(nets=1, perceptrons=0), 4, ((4, 17), (12,), (1, 2)))).eval()
    flow, magnitude = torch.randn(5, 2, GRID, GRID), torch.zeros(5, 1)
    with torch.no_grad():
        (before, aus), (after, _) = plain(flow, magnitude), helped(flow, magnitude)
        gained = helped.classify(after)[:, :3] - plain.classify(before)[:, :3]
    units = torch.stack([aus[:, [2, 11]].amax(1), aus[:, 8], aus[:, [0, 1]].amax(1)], 1)
    assert torch.allclose(gained, EVIDENCE_SHARE * units, atol=1e-5)


def test_mirror_twice_is_the_flow_itself():
    flow = torch.randn(2, 2, GRID, GRID)
    assert torch.equal(mirror(mirror(flow)), flow)
    assert torch.equal(mirror(flow)[:, 0, :, 0], -flow[:, 0, :, -1])
