"""The Action Unit module of MERAU (Dai & Feng 2021).

It has the encoder of TCAE and the detector P on its code.
"""

from torch import Tensor, nn

from merau.trainers.models.tcae import Encoder


class AuModule(nn.Module):
    """Apex images -> code x_au and Action Unit logits p.

    The code is the encoder's, the logits are those of detector P.

    P is batch norm and a linear layer, as in the Action Unit head of TCAE. It is trained with eq. 1, where binary
    cross-entropy is meant, and then frozen (eq. 2).
    """

    def __init__(self, encoder: Encoder, *, aus: int = 17) -> None:
        super().__init__()
        self.encoder = encoder
        self.detector = nn.Sequential(nn.BatchNorm1d(encoder.features), nn.Linear(encoder.features, aus))

    def forward(self, apex: Tensor) -> tuple[Tensor, Tensor]:
        """Return code (N, features) and logits (N, aus) of `apex`.

        `apex` is (N, 1, size_px, size_px) in 0..1.
        """
        x_au, _ = self.encoder(apex)
        return x_au, self.detector(x_au)
