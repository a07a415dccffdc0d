"""Stages 1 and 2 of MERAU: TCAE, then the detector P (eqs. 1-2).

TCAE learns from pairs of frames, without labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.trainers.learn.loop import Stage, fit, random_batches
from merau.trainers.learn.settings import DetectorSettings, TcaeSettings
from merau.trainers.models.au import AuModule
from merau.trainers.models.tcae import Encoder, Tcae


@dataclass(frozen=True)
class Frames:
    """Frames of N clips, one clip after the other.

    Attributes:
        image: (M, 1, S, S) uint8.
        first: (N,) index of each clip's first frame.
        count: (N,) number of each clip's frames, two or more.
    """

    image: Tensor
    first: Tensor
    count: Tensor

    @classmethod
    def of(cls, clips: Sequence[np.ndarray]) -> "Frames":
        """Join clips (T, S, S) uint8 of any length T.

        Those of a single frame are left out.
        """
        clips = [clip for clip in clips if len(clip) > 1]
        count = torch.tensor([len(clip) for clip in clips])
        return cls(torch.from_numpy(np.concatenate(clips))[:, None], count.cumsum(0) - count, count)

    def pairs(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Draw two different frames of each of `clips` (n,), both (n, 1, S, S) in 0..1."""
        first, count = self.first[clips], self.count[clips]
        one = (torch.rand(len(clips)) * count).long()
        other = (one + 1 + (torch.rand(len(clips)) * (count - 1)).long()) % count
        return self.image[first + one] / 255, self.image[first + other] / 255


def train_tcae(frames: Frames, settings: TcaeSettings, *, seed: int = 0, folder: Path | None = None) -> Encoder:
    """Stage 1: train TCAE on pairs of frames of the same clip, and return its encoder."""
    torch.manual_seed(seed)
    tcae = Tcae(size_px=settings.size_px, base=settings.base)
    optimizer: torch.optim.Optimizer = torch.optim.Adam(tcae.parameters(), settings.rate)
    if settings.optimizer == "sgd":
        optimizer = torch.optim.SGD(tcae.parameters(), settings.rate, settings.momentum)

    def batches() -> list[Tensor]:
        return random_batches(len(frames.count), settings.batch)

    fit(Stage("tcae", tcae, optimizer, batches, frames.pairs, settings.epochs), seed=seed, folder=folder)
    tcae.encode.eval()
    return tcae.encode


class DetectorLoss(nn.Module):
    """Eq.

    1: binary cross-entropy of codes (n, features) and Action Units (n, A) of 0 or 1.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, code: Tensor, aus: Tensor) -> Tensor:
        """Return the mean loss."""
        return functional.binary_cross_entropy_with_logits(self.detector(code), aus)


def train_detector(
    encoder: Encoder,
    apex: Tensor,
    aus: Tensor,
    settings: DetectorSettings,
    *,
    seed: int = 0,
    folder: Path | None = None,
) -> AuModule:
    """Stage 2: train a detector on the codes of `encoder`.

    Both are returned as a frozen module.

    Args:
        encoder: The encoder of stage 1.
        apex: Apex images (N, 1, S, S) in 0..1.
        aus: (N, A) of 0 or 1, in the order of the settings.
        settings: The settings of the stage.
        seed: Seed of all random draws.
        folder: Where the checkpoint lies, if one is kept.
    """
    torch.manual_seed(seed)
    module = AuModule(encoder, aus=aus.shape[1])
    module.eval()
    with torch.no_grad():
        codes = torch.cat([module.encoder(part)[0] for part in apex.split(256)])
    loss = DetectorLoss(module.detector)
    optimizer = torch.optim.Adam(module.detector.parameters(), settings.rate)

    def batches() -> list[Tensor]:
        return random_batches(len(codes), settings.batch)

    def take(rows: Tensor) -> tuple[Tensor, ...]:
        return codes[rows], aus[rows]

    fit(Stage("detector", loss, optimizer, batches, take, settings.epochs), seed=seed, folder=folder)
    module.eval().requires_grad_(False)
    return module


def pretrain(
    onset: Tensor, apex: Tensor, aus: Tensor, tcae: TcaeSettings, detector: DetectorSettings, *, seed: int = 0
) -> AuModule:
    """Run both stages on image pairs.

    `onset`, `apex` are (N, 1, S, S) in 0..1, `aus` (N, A).
    """
    pairs = (255 * torch.cat([onset, apex], 1)).round().byte().numpy()
    encoder = train_tcae(Frames.of(list(pairs)), tcae, seed=seed)
    return train_detector(encoder, apex, aus, detector, seed=seed)
