"""OFF-ApexNet: OFF-ApexNet on Micro-expression Recognition System.

Y. S. Gan, Sze-Teng Liong, Wei-Chuen Yau, Yen-Chang Huang and Lit-Ken Tan, Signal Processing: Image Communication 74,
2019: one stream of two convolutions for u, one for v, and two fully connected layers of 1024.
"""

import torch
from torch import Tensor, nn

from merau.trainers.baselines.flow_images import flow_images
from merau.trainers.baselines.network import Baseline, Network, Training
from merau.trainers.evaluate.task import Task

HIDDEN = 1024  # units of each fully connected layer


class OffApexNet(Baseline):
    """Flow images (n, 3, 28, 28), whose strain is not used -> embedding (n, 1024), logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()

        def stream() -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(1, 6, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),  # (n, 6, 14, 14)
                nn.Conv2d(6, 16, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),  # (n, 16, 7, 7)
                nn.Flatten(),
            )

        self.across, self.down = stream(), stream()
        layers = [nn.Linear(2 * 16 * 7 * 7, HIDDEN), nn.ReLU(), nn.Dropout(0.5), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]
        self.fuse = nn.Sequential(*layers)
        self.classify = nn.Linear(HIDDEN, classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and logits of `image`."""
        embedding = self.fuse(torch.cat([self.across(image[:, :1]), self.down(image[:, 1:2])], 1))
        return embedding, self.classify(embedding)


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    """Return the baseline on the flow images of `task`."""
    return Network(task, flow_images(task), OffApexNet, best_epoch, Training(epochs=40, rate=3e-4))
