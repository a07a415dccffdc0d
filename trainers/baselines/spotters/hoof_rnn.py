"""Histograms of oriented flow and a recurrent network.

Michiel Verburg and Vlado Menkovski, Micro-Expression Detection in Long Videos Using Optical Flow and Recurrent Neural
Networks, FG 2019: HOOF of a few regions for each frame, half a second of them at a time into an LSTM, which says
whether a micro-expression is there. Windows that say so and overlap are one interval.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from merau.trainers.baselines.oriented_flow import hoof
from merau.trainers.baselines.spotters.clip import RATE, Spotted, SteadyClip, find_tops

WINDOW = 15  # frames: half a second
DISTANCE = 3  # frames between which flow is measured
HIDDEN = 16
FEATURES = 5 * 5 * 8  # HOOF in 5 x 5 blocks
EPOCHS, BATCH, RATE_OF_ADAM = 15, 64, 3e-3
LEAST = 0.5  # probability from which a window counts


class Recurrent(nn.Module):
    """Windows of HOOF (n, WINDOW, FEATURES) -> logits (n,)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the logits."""
        return self.score(self.lstm(windows)[0][:, -1])[:, 0]


class HoofRnn:
    """It spots micro-expressions alone, after it has learned from other people."""

    def __init__(self) -> None:
        self.net, self.scale = Recurrent(), 1.0

    def fit(self, clips: Sequence[SteadyClip]) -> None:
        """See `SpottingMethod`."""
        torch.manual_seed(0)
        self.net = Recurrent()
        features = torch.cat([windows(clip) for clip in clips])
        target = torch.cat([torch.from_numpy(targets(clip)) for clip in clips])
        self.scale = float(features.std())
        weight = (target == 0).sum() / max(target.sum(), torch.tensor(1.0))
        optimizer = torch.optim.Adam(self.net.parameters(), RATE_OF_ADAM)
        for _ in range(EPOCHS):
            for some in torch.randperm(len(features)).split(BATCH):
                logits = self.net(features[some] / self.scale)
                loss = nn.functional.binary_cross_entropy_with_logits(logits, target[some], pos_weight=weight.sqrt())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def __call__(self, clip: SteadyClip) -> list[Spotted]:
        """See `SpottingMethod`."""
        with torch.no_grad():
            probability = self.net(windows(clip) / self.scale).sigmoid().numpy()
        likely = np.where(probability >= LEAST, probability, 0)
        tops = find_tops(np.pad(likely, 1), 0, WINDOW // 2) if likely.any() else []
        return [Spotted("micro", top - 1, top + WINDOW - 2) for top in tops]


def windows(clip: SteadyClip) -> Tensor:
    """Return the HOOF of the windows that start at each frame, (T - WINDOW + 1, WINDOW, FEATURES) float32."""
    features = hoof(clip.flow(DISTANCE)).reshape(len(clip), -1).astype(np.float32)
    return torch.from_numpy(features).unfold(0, WINDOW, 1).transpose(1, 2)


def targets(clip: SteadyClip) -> np.ndarray:
    """Return 1 for each window that a micro-expression overlaps by more than half (the paper's rule), float32."""
    start = np.arange(len(clip) - WINDOW + 1)
    hit = np.zeros(len(start), np.float32)
    for span in clip.spans:
        if span["kind"] == "micro":
            onset, offset = span["onset_s"] * RATE, span["offset_s"] * RATE
            common = np.minimum(start + WINDOW, offset) - np.maximum(start, onset)
            whole = np.maximum(start + WINDOW, offset) - np.minimum(start, onset)
            hit[common / whole >= 0.5] = 1
    return hit
