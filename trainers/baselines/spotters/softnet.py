"""SOFTNet: a shallow network on optical flow says how likely each frame begins an expression.

Gen-Bing Liong, John See and Lai-Kuan Wong, Shallow Optical Flow Three-Stream CNN for Macro- and Micro-Expression
Spotting from Long Videos, ICIP 2021. Flow from frame t to t + k (u, v and strain, 42 x 42) gives a score; its target
is whether the k frames from there overlap an expression (section 2.4). Scores are averaged over k frames on both
sides, and peaks above a threshold are expressions. There is a network for each kind.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from merau.engine.flow import strain
from merau.trainers.baselines.spotters.clip import HALF, RATE, Spotted, SteadyClip, find_tops, spans_around

SHARE = 0.55  # the paper's p
FILTERS = (3, 5, 8)  # of the streams u, v and strain
EPOCHS, BATCH, RATE_OF_ADAM = 12, 48, 1e-3
IGNORED_PER_HIT = 3  # frames without an expression that are shown for each frame with one
SPREAD_PX = 0.5  # flow is given in units of it


class ThreeStreams(nn.Module):
    """u, v and strain (n, 3, 42, 42) -> scores (n,)."""

    def __init__(self) -> None:
        super().__init__()
        self.streams = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(1, n, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3)) for n in FILTERS
            ]  # (n, f, 14, 14)
        )
        self.score = nn.Sequential(
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(sum(FILTERS) * 7 * 7, 400), nn.ReLU(), nn.Linear(400, 1)
        )

    def forward(self, flow: Tensor) -> Tensor:
        """Return the scores."""
        parts = [stream(flow[:, i : i + 1]) for i, stream in enumerate(self.streams)]
        return self.score(torch.cat(parts, 1))[:, 0]


class SoftNet:
    """It spots both kinds, after it has learned from other people."""

    def __init__(self) -> None:
        self.nets = dict[str, ThreeStreams]()

    def fit(self, clips: Sequence[SteadyClip]) -> None:
        """See `SpottingMethod`."""
        for kind, k in HALF.items():
            torch.manual_seed(0)
            flow = torch.cat([inputs(clip, k) for clip in clips])
            target = torch.cat([torch.from_numpy(targets(clip, kind, k)) for clip in clips])
            self.nets[kind] = train(flow, target)

    def __call__(self, clip: SteadyClip) -> list[Spotted]:
        """See `SpottingMethod`."""
        found = list[Spotted]()
        for kind, k in HALF.items():
            with torch.no_grad():
                score = self.nets[kind].eval()(inputs(clip, k)).numpy()
            smooth = np.convolve(np.pad(score, k, mode="edge"), np.full(2 * k + 1, 1 / (2 * k + 1)), "valid")
            found += spans_around(find_tops(smooth, SHARE, k), kind, len(clip))
        return found


def inputs(clip: SteadyClip, k: int) -> Tensor:
    """Return u, v and strain from each frame to k later, (T, 3, 42, 42) float32; 0 for the last k."""
    flow = np.zeros_like(clip.flow(k))
    flow[:-k] = clip.flow(k)[k:]
    strained = np.stack([strain(field) for field in flow])[:, None]
    return torch.from_numpy(np.concatenate([flow, 4 * strained], 1) / SPREAD_PX)


def targets(clip: SteadyClip, kind: str, k: int) -> np.ndarray:
    """Return 1 for each frame from which k frames overlap an expression of `kind`, else 0, (T,) float32."""
    start = np.arange(len(clip))
    hit = np.zeros(len(clip), np.float32)
    for span in clip.spans:
        if span["kind"] == kind:
            onset, offset = span["onset_s"] * RATE, span["offset_s"] * RATE
            hit[(start + k >= onset) & (start <= offset)] = 1
    return hit


def train(flow: Tensor, target: Tensor) -> ThreeStreams:
    """Return a network trained on all hits, and on some of the other frames (the paper shows few, too)."""
    hits, others = (torch.nonzero(target == value)[:, 0] for value in (1, 0))
    shown = torch.cat([hits, others[torch.randperm(len(others))[: IGNORED_PER_HIT * max(len(hits), 1)]]])
    net = ThreeStreams()
    optimizer = torch.optim.AdamW(net.parameters(), RATE_OF_ADAM)
    for _ in range(EPOCHS):
        for some in shown[torch.randperm(len(shown))].split(BATCH):
            loss = nn.functional.mse_loss(net(flow[some]), target[some])  # the paper regresses
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net
