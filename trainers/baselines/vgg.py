"""VGG on the apex frame.

Very Deep Convolutional Networks for Large-Scale Image Recognition.

Karen Simonyan and Andrew Zisserman, ICLR 2015, configuration A, narrower for a face of 64 px. It is trained from random
weights at the rate of Dai & Feng 2021, table 2: 1e-4. At 1e-3 it does not even fit its training data: UF1 is .34
instead of .40 (120 synthetic clips, lodo).
"""

import torch
from torch import Tensor, nn

from merau.trainers.baselines.frames import normalized_apexes
from merau.trainers.baselines.network import Baseline, Network, Training
from merau.trainers.evaluate.task import Task

SIZE_PX = 64
WIDTHS = (16, "pool", 32, "pool", 64, 64, "pool", 128, 128, "pool", 128, 128, "pool")  # a quarter of the paper's


class Vgg(Baseline):
    """Images (n, 1, 64, 64) -> embedding (n, 128), logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in WIDTHS:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                before = width
        self.features = nn.Sequential(*layers, nn.Flatten())  # (n, 128 * 2 * 2)
        self.embed = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, 128), nn.ReLU(), nn.Dropout(0.5))
        self.classify = nn.Linear(128, classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and logits of `image`."""
        embedding = self.embed(self.features(image))
        return embedding, self.classify(embedding)


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    """Return the baseline on the apex frames of `task`."""
    images = torch.from_numpy(normalized_apexes(task.data, "vgg", size_px=SIZE_PX))
    return Network(task, images, Vgg, best_epoch, Training(rate=1e-4))
