"""VGG on the apex frame: Simonyan & Zisserman 2015, configuration A, narrower for a 64 px face.

It learns from random values, at the rate of Dai & Feng 2021, table 2: 1e-4. At 1e-3 it does not even learn what it is
shown: UF1 is .34 instead of .40 (120 synthetic clips, lodo).
"""

import torch
from torch import Tensor, nn

from merau.trainers.baselines.frames import apex_pictures
from merau.trainers.baselines.network import Baseline, Network, Training
from merau.trainers.evaluate.task import Task

SIZE_PX = 64
WIDTHS = (16, "pool", 32, "pool", 64, 64, "pool", 128, 128, "pool", 128, 128, "pool")  # a quarter of the paper's


class Vgg(Baseline):
    """Pictures (n, 1, 64, 64) -> embedding (n, 128), logits (n, classes)."""

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

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.embed(self.features(picture))
        return embedding, self.classify(embedding)


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    pictures = torch.from_numpy(apex_pictures(task.data, "vgg", size_px=SIZE_PX))
    return Network(task, pictures, Vgg, best_epoch, Training(rate=1e-4))
