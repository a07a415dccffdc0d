"""The Twin-Cycle Autoencoder."""

import pytest
import torch

from merau.trainers.models.tcae import Tcae


@pytest.mark.parametrize(("size_px", "base", "features"), [(64, 8, 64), (256, 32, 256)])
def test_tcae_sizes_match_authors_code(size_px, base, features):
    tcae = Tcae(size_px=size_px, base=base).eval()
    aus, pose = tcae.encode(torch.rand(2, 1, size_px, size_px))
    assert aus.shape == pose.shape == (2, features)
    assert tcae.by_aus(aus, aus).shape == (2, 2, size_px, size_px)


def test_tcae_training_reduces_loss():
    torch.manual_seed(0)
    tcae = Tcae(size_px=32, base=4)
    source = torch.nn.functional.avg_pool2d(torch.rand(16, 1, 40, 40), 9, stride=1)
    target = source.roll(2, dims=-1)
    optimizer = torch.optim.Adam(tcae.parameters(), 2e-3)
    losses = []
    for _ in range(30):
        loss = tcae(source, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
