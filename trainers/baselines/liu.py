"""Liu's recognizer: A Neural Micro-Expression Recognizer.

Yuchi Liu, Heming Du, Liang Zheng and Tom Gedeon, FG 2019: ResNet18 on flow, pooled by parts of the face, with a domain
adversary and expression magnification and reduction.

Magnification and reduction bring micro- and macro-expressions to one amplitude. They are left out: a flow set scales
each sample to its own range, so that all amplitudes are alike. Samples of other databases, the source of a few-shot
protocol, replace its pre-training on macro-expressions.

A quarter as wide, it is trained from random weights, all layers at 1e-3. The rates of Dai & Feng 2021, table 2, 1e-5
for the encoder and 1e-3 for the classifier, are for a pre-trained one: here they give a UF1 of .50 instead of .59 (120
synthetic clips, lodo).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.trainers.baselines.network import Baseline, Batch, Network
from merau.trainers.evaluate.task import Task

WIDTHS = (16, 32, 64, 128)  # a quarter of ResNet18's: 32 x 32 flow, some hundred samples
ADVERSARY = 0.1  # weight of the domain loss
MAX_DOMAINS = 16


class Residual(nn.Module):
    """ResNet's basic block (He et al. 2016).

    Input (N, before, H, W), output (N, after, H / stride, W / stride).
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Identity() if before == after and stride == 1 else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return functional.relu(self.way(x) + self.shortcut(x))


class Liu(Baseline):
    """Flow (n, 2, 32, 32) -> embedding (n, 256) and logits.

    The embedding holds the means of the upper and the lower half of the face.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(2, WIDTHS[0], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
        ]
        before = WIDTHS[0]
        for stage, width in enumerate(WIDTHS):
            layers += [Residual(before, width, 1 if stage == 0 else 2), Residual(width, width, 1)]
            before = width
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Dropout(0.5))
        self.classify = nn.Linear(2 * before, classes)
        self.classify_domain = nn.Linear(2 * before, MAX_DOMAINS)

    def forward(self, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and logits of `flow`."""
        embedding = self.features(flow)
        return embedding, self.classify(embedding)

    def loss(self, embedding: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Return the class loss plus that of a domain adversary (Ganin & Lempitsky 2015)."""
        domain_logits = self.classify_domain(ReversedGradient.apply(embedding))
        return functional.cross_entropy(logits, batch.label) + ADVERSARY * functional.cross_entropy(
            domain_logits, batch.domain
        )


class ReversedGradient(torch.autograd.Function):
    """The identity, whose gradient has the opposite sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return `x`."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return `gradient` with the opposite sign."""
        return -gradient


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    """Return the baseline on the flow of `task`."""
    return Network(task, torch.from_numpy(task.flow.astype(np.float32)), Liu, best_epoch)
