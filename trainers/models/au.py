"""The Action Unit module of MERAU: a TCAE encoder's code of the apex picture, and the detector P that reads it."""

from torch import Tensor, nn

from merau.trainers.models.tcae import Encoder


class AuModule(nn.Module):
    """Apex pictures (N, 1, size_px, size_px) in 0..1 -> x_au (N, features) and the logits p (N, aus) of detector P.

    The encoder comes from TCAE; P is batch norm and a linear layer as in TCAE's Action Unit head, trained with eq. 1
    (binary cross-entropy is meant) and then frozen (eq. 2).
    """

    def __init__(self, encoder: Encoder, *, aus: int = 17) -> None:
        super().__init__()
        self.encoder = encoder
        self.detector = nn.Sequential(nn.BatchNorm1d(encoder.features), nn.Linear(encoder.features, aus))

    def forward(self, apex: Tensor) -> tuple[Tensor, Tensor]:
        x_au, _ = self.encoder(apex)
        return x_au, self.detector(x_au)
