"""STSTNet: Shallow Triple Stream Three-dimensional CNN for Micro-expression Recognition.

Sze-Teng Liong, Y. S. Gan, John See, Huai-Qian Khor and Yen-Chang Huang, FG 2019: one layer of 3, 5 and 8 filters in
three streams over u, v and strain, and one fully connected layer.

With three classes it has 1651 weights and biases beside its batch normalization; the paper prints 0.00167 million.
"""

import torch
from torch import Tensor, nn

from merau.trainers.baselines.flow_images import flow_images
from merau.trainers.baselines.network import Baseline, Network, Training
from merau.trainers.evaluate.task import Task

FILTERS = (3, 5, 8)  # of the three streams


class StstNet(Baseline):
    """Flow images (n, 3, 28, 28) -> embedding (n, 400), logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()

        def stream(filters: int) -> nn.Sequential:
            convolution = nn.Conv2d(3, filters, 3, padding=1)
            pool = nn.MaxPool2d(3, stride=3, padding=1)  # (n, filters, 10, 10)
            return nn.Sequential(convolution, nn.ReLU(), nn.BatchNorm2d(filters), pool, nn.Dropout(0.5))

        self.streams = nn.ModuleList([stream(filters) for filters in FILTERS])
        self.pool = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
        self.classify = nn.Linear(sum(FILTERS) * 5 * 5, classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and logits of `image`."""
        embedding = self.pool(torch.cat([stream(image) for stream in self.streams], 1))
        return embedding, self.classify(embedding)


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    """Return the baseline on the flow images of `task`."""
    return Network(task, flow_images(task), StstNet, best_epoch, Training(epochs=60, rate=5e-3))
