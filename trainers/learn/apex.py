"""Pre-training of MERAU's Action Unit module on picture pairs: TCAE without labels, then detector P (eqs. 1-2)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import trange

from trainers.models.au import AuModule
from trainers.models.tcae import Tcae


@dataclass(frozen=True)
class ApexSettings:
    """TCAE's authors use SGD 1e-3 for days; for minutes on one core it is Adam. P's rate is the paper's."""

    tcae_epochs: int = 6
    detector_epochs: int = 30
    batch: int = 64
    tcae_rate: float = 1e-3
    detector_rate: float = 1.2e-3
    seed: int = 0


def pretrain(onset: Tensor, apex: Tensor, aus: Tensor, settings: ApexSettings) -> AuModule:
    """`onset`, `apex` (N, 1, S, S) in 0..1 of the same faces, `aus` (N, A) 0 or 1 -> the frozen module."""
    torch.manual_seed(settings.seed)
    tcae = Tcae(size_px=apex.shape[-1])
    optimizer = torch.optim.Adam(tcae.parameters(), settings.tcae_rate)
    for _ in (epochs := trange(settings.tcae_epochs, desc="TCAE", unit="epoch")):
        for rows in torch.randperm(len(apex)).split(settings.batch):
            loss = tcae(onset[rows], apex[rows])
            step(optimizer, loss)
        epochs.set_postfix(loss=f"{loss.item():.3f}")
    module = AuModule(tcae.encode, aus=aus.shape[1]).eval()
    with torch.no_grad():
        codes = torch.cat([module.encoder(part)[0] for part in apex.split(256)])
    module.detector.train()
    optimizer = torch.optim.Adam(module.detector.parameters(), settings.detector_rate)
    for _ in trange(settings.detector_epochs, desc="detector P", unit="epoch"):
        for rows in torch.randperm(len(codes)).split(settings.batch):
            step(optimizer, functional.binary_cross_entropy_with_logits(module.detector(codes[rows]), aus[rows]))
    return module.eval().requires_grad_(False)


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
