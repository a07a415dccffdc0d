"""Dual-Inception: Dual-Inception Network for Cross-Database Micro-Expression Recognition.

Ling Zhou, Qirong Mao and Luoyang Xue, FG 2019: two inception blocks for u, two for v, and a fully connected layer of
1024. A block holds convolutions of 1, 3 and 5 and a pooling side by side (Szegedy et al. 2015).
"""

import torch
from torch import Tensor, nn

from merau.trainers.baselines.flow_images import flow_images
from merau.trainers.baselines.network import Baseline, Network, Training
from merau.trainers.evaluate.task import Task

WIDTHS = (6, 16)  # filters of each branch, in the two blocks of a stream
HIDDEN = 1024


class Inception(nn.Module):
    """Four branches of `width` filters: (n, before, H, W) -> (n, 4 * width, H, W)."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()

        def wide(size: int) -> nn.Sequential:
            layers = [nn.Conv2d(before, width, 1), nn.ReLU(), nn.Conv2d(width, width, size, padding=size // 2)]
            return nn.Sequential(*layers, nn.ReLU())

        point = nn.Sequential(nn.Conv2d(before, width, 1), nn.ReLU())
        pooled = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(before, width, 1), nn.ReLU())
        self.branches = nn.ModuleList([point, wide(3), wide(5), pooled])

    def forward(self, x: Tensor) -> Tensor:
        """Return the branches of `x` side by side."""
        return torch.cat([branch(x) for branch in self.branches], 1)


class DualInception(Baseline):
    """Flow images (n, 3, 28, 28), whose strain is not used -> embedding (n, 1024), logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()

        def stream() -> nn.Sequential:
            first, second = Inception(1, WIDTHS[0]), Inception(4 * WIDTHS[0], WIDTHS[1])
            return nn.Sequential(first, nn.MaxPool2d(2), second, nn.MaxPool2d(2), nn.Flatten())

        self.across, self.down = stream(), stream()
        self.fuse = nn.Sequential(nn.Dropout(0.5), nn.Linear(2 * 4 * WIDTHS[1] * 7 * 7, HIDDEN), nn.ReLU())
        self.classify = nn.Linear(HIDDEN, classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and logits of `image`."""
        embedding = self.fuse(torch.cat([self.across(image[:, :1]), self.down(image[:, 1:2])], 1))
        return embedding, self.classify(embedding)


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    """Return the baseline on the flow images of `task`."""
    return Network(task, flow_images(task), DualInception, best_epoch, Training(epochs=40, rate=3e-4))
