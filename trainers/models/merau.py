"""MERAU: Dai & Feng, Cross-Domain Few-Shot Micro-Expression Recognition Incorporating Action Units, 2021."""

import torch
from torch import Tensor, nn

from trainers.models.au import AuModule


class FlowBranch(nn.Module):
    """Optical-flow module: pattern (N, 2, 32, 32) and magnitude (N, 1) -> x_of (N, width).

    The paper takes ResNet18 on 224 px; on synthetic flow a net of this size is as good and 200 times cheaper. The
    magnitude joins after the convolutions: it says how much moves, not what.
    """

    def __init__(self, *, width: int = 64, dropout: float = 0.3) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
            convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

        self.features = nn.Sequential(
            block(2, 24, 5, stride=2),  # (N, 24, 16, 16)
            block(24, 32, 3),
            nn.MaxPool2d(2),
            block(32, 48, 3),
            nn.MaxPool2d(2),  # (N, 48, 4, 4): where on the face still counts
            nn.Flatten(),
            nn.Dropout(dropout),
        )
        self.mix = nn.Sequential(nn.Linear(48 * 16 + 1, width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        return self.mix(torch.cat([self.features(pattern), magnitude], 1))


class Merau(nn.Module):
    """Fusion of eq. 3, e = e_of (+) e_a1 (+) e_a2, a classifier on e (eq. 5) and an Action Unit head on e_of.

    The Action Unit head is ours: motion tells Action Units across identities. Without the Action Unit module `au` the
    model has no apex branch and e = e_of; with it, a sample without an apex picture has e_a1 = e_a2 = 0.
    """

    def __init__(
        self, *, classes: int = 4, aus: int = 17, width: int = 64, embedding: int = 48, au: AuModule | None = None
    ) -> None:
        super().__init__()
        self.flow = FlowBranch(width=width)
        self.project = nn.Sequential(nn.Linear(width, embedding), nn.ReLU())
        self.aus = nn.Linear(embedding, aus)
        self.au = au
        if au:
            self.project_code = nn.Sequential(nn.Linear(au.encoder.features, embedding // 2), nn.ReLU())
            self.project_units = nn.Sequential(nn.Linear(aus, embedding // 2), nn.ReLU())
        self.classify = nn.Linear(2 * embedding if au else embedding, classes)

    def forward(
        self, flow: Tensor, magnitude: Tensor, apex: Tensor | None = None, has_apex: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Embedding e and Action Unit logits (N, aus). With `au`: `apex` (N, 1, S, S), `has_apex` (N, 1) of 0 or 1."""
        e_of = self.project(self.flow(flow, magnitude))
        if self.au is None:
            return e_of, self.aus(e_of)
        x_au, p = self.au(apex)
        e_a1, e_a2 = self.project_code(x_au), self.project_units(p)
        return torch.cat([e_of, has_apex * e_a1, has_apex * e_a2], 1), self.aus(e_of)
