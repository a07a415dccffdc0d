"""The Action Unit module."""

import torch

from merau.trainers.models.au import AuModule
from merau.trainers.models.tcae import Tcae


def test_au_module_detects_on_code_of_encoder():
    encoder = Tcae(size_px=32, base=4).encode
    module = AuModule(encoder, aus=5).eval()
    apex = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        code, logits = module(apex)
        assert torch.equal(code, encoder(apex)[0])
        assert torch.equal(logits, module.detector(code))
    assert code.shape == (2, encoder.features)
    assert logits.shape == (2, 5)
