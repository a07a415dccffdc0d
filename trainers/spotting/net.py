"""A small net that tells kinds of movements apart, and its training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  (the usual name)

from merau.stream.spotter import KINDS, CandidateInput
from merau.stream.spotter.classifier import FEATURES, STEPS
from merau.stream.spotter.features import PATCHES
from merau.trainers.spotting.record import NOT_MICRO, UNKNOWN

MICRO = KINDS.index("micro")
STATES = 6  # channels of the motion beside the patches
GRID = (7, 6)  # rows and columns of pooled patches
POOLED = 2 * 7 * 6


@dataclass(frozen=True)
class NetSettings:
    """How the net is trained.

    Attributes:
        epochs: Times that every candidate is seen.
        batch: Candidates in one step.
        rate: Highest learning rate of the one-cycle schedule.
        decay: Weight decay.
        dropout: Share of units that are left out.
        smoothing: Label smoothing.
        noise: Standard deviation added to the pooled motion, noise floors.
        gain: Sigma of lognormal factors of the motion.
        nets: Nets whose probabilities are averaged.
        seed: Seed of all random draws.
    """

    epochs: int = 12
    batch: int = 256
    rate: float = 3e-3
    decay: float = 0.02
    dropout: float = 0.25
    smoothing: float = 0.03
    noise: float = 0.15
    gain: float = 0.15
    nets: int = 3
    seed: int = 0


class KindNet(nn.Module):
    """Motion of the patches over time, and measurements of the whole movement, to the logits of `KINDS`.

    Args:
        mean: (F,) of the features.
        scale: (F,) standard deviation of the features.
        dropout: Share of units that are left out.
    """

    def __init__(self, mean: np.ndarray, scale: np.ndarray, dropout: float):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("log_temperature", torch.zeros(()))
        self.patches = nn.Sequential(nn.Dropout(dropout), nn.Conv1d(POOLED, 24, 1))
        self.first = nn.Sequential(nn.Conv1d(24 + STATES, 32, 3, padding=1), nn.BatchNorm1d(32), nn.ReLU())
        self.second = nn.Sequential(nn.Conv1d(32, 32, 3, padding=1), nn.BatchNorm1d(32), nn.ReLU())
        self.features = nn.Sequential(nn.Linear(len(FEATURES), 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Sequential(nn.Linear(2 * 32 + 48, 48), nn.ReLU(), nn.Dropout(dropout), nn.Linear(48, len(KINDS)))

    def forward(self, motion: torch.Tensor, mask: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 6) of pooled motion (N, POOLED + 6, STEPS), mask (N, STEPS) and features (N, F)."""
        there = mask[:, None]
        course = torch.cat([self.patches(motion[:, :POOLED]), motion[:, POOLED:]], dim=1) * there
        course = self.second(self.first(course) * there) * there
        pooled = [course.amax(dim=2), course.sum(dim=2) / there.sum(dim=2).clamp(min=1)]
        measured = ((torch.asinh(features) - self.mean) / self.scale).clamp(-4, 4)
        logits: torch.Tensor = self.head(torch.cat([*pooled, self.features(measured)], dim=1))
        return logits


def pool(motion: torch.Tensor) -> torch.Tensor:
    """Average neighbouring patches, which overlap by half: (N, CHANNELS, STEPS) to (N, POOLED + 6, STEPS), compressed.

    Windows of 2 x 3 patches with stride 2 leave the face's symmetry as it is.
    """
    patches = motion[:, :-STATES].reshape(-1, 2, *PATCHES, STEPS).permute(0, 4, 1, 2, 3).reshape(-1, 2, *PATCHES)
    means = F.avg_pool2d(patches, (2, 3), stride=2).reshape(-1, STEPS, POOLED).transpose(1, 2)
    return torch.asinh(torch.cat([means, motion[:, -STATES:]], dim=1))


class KindEnsemble(nn.Module):
    """Several nets whose logits are averaged, and a temperature: probabilities of `KINDS`."""

    def __init__(self, nets: Sequence[KindNet], temperature: float = 1.0):
        super().__init__()
        self.nets, self.temperature = nn.ModuleList(nets), temperature

    def forward(self, motion: torch.Tensor, mask: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return probabilities (N, 6)."""
        pooled = pool(motion)
        logits = torch.stack([net(pooled, mask, features) for net in self.nets]).mean(dim=0)
        return torch.softmax(logits / self.temperature, dim=1)

    def logits(self, candidates: CandidateInput) -> np.ndarray:
        """Return the mean logits (N, 6) of the nets."""
        self.eval()
        with torch.no_grad():
            mask, features = torch.from_numpy(candidates.mask), torch.from_numpy(candidates.features)
            inputs = pool(torch.from_numpy(candidates.motion)), mask, features
            return torch.stack([net(*inputs) for net in self.nets]).mean(dim=0).numpy()


def train_nets(
    candidates: CandidateInput, labels: np.ndarray, weights: np.ndarray, settings: NetSettings
) -> KindEnsemble:
    """Train the nets.

    Args:
        candidates: N candidates.
        labels: (N,) indices into KINDS, or NOT_MICRO; UNKNOWN teaches nothing.
        weights: (N,) how much each counts.
        settings: How the net is trained.
    """
    known = labels != UNKNOWN
    arrays = [array[known] for array in (candidates.motion, candidates.mask, candidates.features, labels, weights)]
    features = np.arcsinh(arrays[2])
    data = [pool(torch.from_numpy(arrays[0])), *map(torch.from_numpy, arrays[1:])]
    nets = []
    for i in range(settings.nets):
        torch.manual_seed(settings.seed + i)
        net = KindNet(features.mean(axis=0), features.std(axis=0) + 1e-3, settings.dropout)
        _fit(net, data, settings, settings.seed + i)
        nets.append(net.eval())
    return KindEnsemble(nets)


def _fit(net: KindNet, data: list[torch.Tensor], settings: NetSettings, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=settings.decay)
    steps = max(len(data[0]) // settings.batch, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=settings.epochs * steps)
    net.train()
    for _ in range(settings.epochs):
        order = torch.randperm(len(data[0]), generator=draw)
        for batch in order.tensor_split(steps):
            motion, mask, features, labels, weights = (array[batch] for array in data)
            motion = _vary(motion, settings, draw)
            loss = _loss(net(motion, mask, features), labels, settings.smoothing)
            optimizer.zero_grad()
            ((loss * weights).sum() / weights.sum()).backward()
            optimizer.step()
            schedule.step()


def _vary(motion: torch.Tensor, settings: NetSettings, draw: torch.Generator) -> torch.Tensor:
    """Mirror half of the candidates, and change strength and noise of their pooled patches."""
    count = len(motion)
    patches = motion[:, :POOLED].reshape(count, 2, *GRID, STEPS)
    mirrored = torch.stack([-patches[:, 0].flip(2), patches[:, 1].flip(2)], dim=1)
    flipped = torch.rand(count, generator=draw) < 0.5
    patches = torch.where(flipped[:, None, None, None, None], mirrored, patches)
    gain = torch.exp(settings.gain * torch.randn(count, 1, 1, 1, 1, generator=draw))
    patches = torch.asinh(torch.sinh(patches) * gain + settings.noise * torch.randn(patches.shape, generator=draw))
    states = motion[:, POOLED:].clone()
    states[:, -2] = torch.where(flipped[:, None], -states[:, -2], states[:, -2])
    return torch.cat([patches.reshape(count, POOLED, STEPS), states], dim=1)


def _loss(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropy (N,); of candidates that are only known to be no micro-expression, that they are none."""
    usual = F.cross_entropy(logits, labels.clamp(min=0), reduction="none", label_smoothing=smoothing)
    other = -torch.log1p(-torch.softmax(logits, dim=1)[:, MICRO].clamp(max=1 - 1e-6))
    return torch.where(labels == NOT_MICRO, other, usual)
