"""MERAU: Dai & Feng, Cross-Domain Few-Shot Micro-Expression Recognition Incorporating Action Units, 2021."""

import torch
from torch import Tensor, nn


class FlowBranch(nn.Module):
    """Optical-flow module: pattern (N, 2, 32, 32) and magnitude (N, 1) -> x_of (N, width).

    The paper takes ResNet18 on 224 px; on synthetic flow a net of this size is as good and 200 times cheaper. The
    magnitude joins after the convolutions: it says how much moves, not what.
    """

    def __init__(self, *, width: int = 64, dropout: float = 0.3) -> None:
        super().__init__()

        def block(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
            )

        self.features = nn.Sequential(
            block(2, 16), block(16, 16), nn.MaxPool2d(2),  # (N, 16, 16, 16)
            block(16, 32), nn.MaxPool2d(2),  # (N, 32, 8, 8)
            block(32, 48), nn.MaxPool2d(2),  # (N, 48, 4, 4): where on the face still counts
            nn.Flatten(), nn.Dropout(dropout),
        )  # fmt: skip
        self.mix = nn.Sequential(nn.Linear(48 * 16 + 1, width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        return self.mix(torch.cat([self.features(pattern), magnitude], 1))


class Merau(nn.Module):
    """Eq. 3 with the flow branch: e = e_of; the Action Unit head reads e_of, the classifier (eq. 5) reads e."""

    def __init__(self, *, classes: int = 4, aus: int = 17, width: int = 64, embedding: int = 48) -> None:
        super().__init__()
        self.flow = FlowBranch(width=width)
        self.project = nn.Sequential(nn.Linear(width, embedding), nn.ReLU())
        self.aus = nn.Linear(embedding, aus)
        self.classify = nn.Linear(embedding, classes)

    def forward(self, flow: Tensor, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding (N, embedding) and Action Unit logits (N, aus)."""
        e = self.project(self.flow(flow, magnitude))
        return e, self.aus(e)
