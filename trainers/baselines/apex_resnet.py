"""ResNet10 on the apex frame: From Macro to Micro Expression Recognition.

Min Peng, Zhan Wu, Zhihao Zhang and Tong Chen, Deep Learning on Small Datasets Using Transfer Learning, FG 2018: the
apex frame alone. The paper starts from weights of ImageNet and of macro-expressions; here it starts from random ones,
or from the source of a few-shot protocol, and is a quarter as wide.
"""

import torch
from torch import Tensor, nn

from merau.trainers.baselines.frames import normalized_apexes
from merau.trainers.baselines.liu import Residual
from merau.trainers.baselines.network import Baseline, Network
from merau.trainers.evaluate.task import Task

SIZE_PX = 64
WIDTHS = (16, 32, 64, 128)  # a quarter of ResNet10's


class ApexResNet(Baseline):
    """Images (n, 1, 64, 64) -> embedding (n, 128), logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        start = [nn.Conv2d(1, WIDTHS[0], 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()]
        stages = [Residual(WIDTHS[max(i - 1, 0)], width, 1 if i == 0 else 2) for i, width in enumerate(WIDTHS)]
        self.features = nn.Sequential(*start, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5))
        self.classify = nn.Linear(WIDTHS[-1], classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and logits of `image`."""
        embedding = self.features(image)
        return embedding, self.classify(embedding)


def prepare(pair: Tensor) -> Tensor:
    """Return the network's input, (n, 1, 64, 64), of onset and apex (n, 2, 64, 64) in 0..1."""
    centred = pair[:, 1:] - pair[:, 1:].mean((2, 3), keepdim=True)
    return centred / centred.std((2, 3), correction=0, keepdim=True).clamp(min=1 / 255)


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    """Return the baseline on the apex frames of `task`."""
    images = torch.from_numpy(normalized_apexes(task.data, "apex-resnet", size_px=SIZE_PX))
    return Network(task, images, ApexResNet, best_epoch)
