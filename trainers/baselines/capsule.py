"""CapsuleNet on the apex frame: Quang, Chun & Tokuyama, FG 2019; capsules and routing after Sabour et al. 2017.

It learns from random values at 1e-3. The 1e-4 of Dai & Feng 2021, table 2, is for pre-trained layers: from scratch it
generalises worse in as many epochs, UF1 .36 instead of .49 (120 synthetic clips, lodo).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.trainers.baselines.frames import apex_pictures
from merau.trainers.baselines.network import Baseline, Network
from merau.trainers.evaluate.task import Task

SIZE_PX = 64
ROUTINGS = 3
SHARPNESS = 10  # capsule lengths 0..1 are turned into probabilities by a softmax over so many times them


class CapsuleNet(Baseline):
    """Pictures (n, 1, 64, 64) -> class capsules, flat (n, classes * 16), and logits (n, classes) from their lengths.

    The paper's first layers are those of a pre-trained ResNet18, which is not to be had here: four convolutions.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()

        def block(before: int, after: int) -> nn.Sequential:
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())

        self.features = nn.Sequential(block(1, 16), block(16, 32), block(32, 64), block(64, 64))  # (n, 64, 4, 4)
        self.weight = nn.Parameter(0.1 * torch.randn(classes, 128, 8, 16))  # of 8 primary capsules in 16 places

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        primary = squash(self.features(picture).view(len(picture), 8, 8, 16).transpose(2, 3).reshape(-1, 128, 8))
        votes = torch.einsum("nid,cidk->ncik", primary, self.weight)  # (n, classes, 128, 16)
        agreement = votes.new_zeros(votes.shape[:3])
        for _ in range(ROUTINGS):  # Sabour et al. 2017, procedure 1
            share = agreement.softmax(1)
            capsules = squash((share[..., None] * votes).sum(2))
            agreement = agreement + (votes * capsules[:, :, None]).sum(-1)
        return capsules.flatten(1), SHARPNESS * capsules.norm(dim=-1)

    def loss(self, embedding: Tensor, logits: Tensor, label: Tensor, domain: Tensor) -> Tensor:
        """The margin loss, Sabour et al. 2017, eq. 4."""
        length = logits / SHARPNESS
        mine = functional.one_hot(label, length.shape[1])
        right, wrong = (0.9 - length).clamp(min=0) ** 2, (length - 0.1).clamp(min=0) ** 2
        return (mine * right + 0.5 * (1 - mine) * wrong).sum(1).mean()


def squash(capsules: Tensor) -> Tensor:
    """Same direction, length in 0..1: Sabour et al. 2017, eq. 1, over the last axis."""
    squared = (capsules**2).sum(-1, keepdim=True)
    return squared / (1 + squared) * capsules / (squared + 1e-8).sqrt()


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    pictures = torch.from_numpy(apex_pictures(task.data, "capsule", size_px=SIZE_PX))
    return Network(task, pictures, CapsuleNet, best_epoch)
