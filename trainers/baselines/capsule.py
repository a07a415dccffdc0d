"""CapsuleNet on the apex frame: CapsuleNet for Micro-Expression Recognition.

Nguyen Van Quang, Jinhee Chun and Takeshi Tokuyama, FG 2019; capsules and routing after Sabour, Frosst and Hinton,
Dynamic Routing Between Capsules, 2017.

It is trained from random weights at a rate of 1e-3. The 1e-4 of Dai & Feng 2021, table 2, is for pre-trained layers:
from scratch it generalizes worse in as many epochs, UF1 .36 instead of .49 (120 synthetic clips, lodo).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.trainers.baselines.frames import normalized_apexes
from merau.trainers.baselines.network import Baseline, Batch, Network
from merau.trainers.evaluate.task import Task

SIZE_PX = 64
ROUTINGS = 3
SHARPNESS = 10  # factor of capsule lengths 0..1 before the softmax


class CapsuleNet(Baseline):
    """Images (n, 1, 64, 64) -> class capsules and logits.

    The capsules are flat, (n, classes * 16); the logits (n, classes) come from their lengths.

    Four convolutions replace the paper's first layers, which are those of a pre-trained ResNet18.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()

        def block(before: int, after: int) -> nn.Sequential:
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())

        self.features = nn.Sequential(block(1, 16), block(16, 32), block(32, 64), block(64, 64))  # (n, 64, 4, 4)
        self.weight = nn.Parameter(0.1 * torch.randn(classes, 128, 8, 16))  # of 8 primary capsules in 16 places

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return capsules and logits of `image`."""
        primary = squash(self.features(image).view(len(image), 8, 8, 16).transpose(2, 3).reshape(-1, 128, 8))
        votes = torch.einsum("nid,cidk->ncik", primary, self.weight)  # (n, classes, 128, 16)
        agreement = votes.new_zeros(votes.shape[:3])
        for _ in range(ROUTINGS):  # Sabour et al. 2017, procedure 1
            share = agreement.softmax(1)
            capsules = squash((share[..., None] * votes).sum(2))
            agreement = agreement + (votes * capsules[:, :, None]).sum(-1)
        return capsules.flatten(1), SHARPNESS * capsules.norm(dim=-1)

    def loss(self, embedding: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Return the margin loss, Sabour et al. 2017, eq. 4."""
        length = logits / SHARPNESS
        mine = functional.one_hot(batch.label, length.shape[1])
        right, wrong = (0.9 - length).clamp(min=0) ** 2, (length - 0.1).clamp(min=0) ** 2
        return (mine * right + 0.5 * (1 - mine) * wrong).sum(1).mean()


def squash(capsules: Tensor) -> Tensor:
    """Bring the length of `capsules` into 0..1 and keep their direction.

    Sabour et al. 2017, eq. 1, over the last axis.
    """
    squared = (capsules**2).sum(-1, keepdim=True)
    return squared / (1 + squared) * capsules / (squared + 1e-8).sqrt()


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    """Return the baseline on the apex frames of `task`."""
    images = torch.from_numpy(normalized_apexes(task.data, "capsule", size_px=SIZE_PX))
    return Network(task, images, CapsuleNet, best_epoch)
