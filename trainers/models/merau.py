"""MERAU (Dai & Feng 2021).

Cross-Domain Few-Shot Micro-Expression Recognition Incorporating Action Units.

Yi Dai and Ling Feng, IEEE Access 9 (2021). Equation numbers are the paper's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.engine.preprocess import GRID, UNKNOWN_MAGNITUDE
from merau.trainers.models.au import AuModule
from merau.trainers.models.resnet import FEATURES, ResNet18


class FlowNet(nn.Module):
    """A small CNN as flow encoder: an ensemble member with heads of its own.

    The paper's encoder is `FlowResNet`; on synthetic flow a net of this size is as accurate and 200 times cheaper.
    The magnitude joins after the convolutions: it says how much moves, not what.
    """

    ENSEMBLE_WEIGHT = 1.0  # of its class logits among the members'
    ENCODER_LAYERS = ("features", "mix")  # layers that learn at the encoder's rate of table 2

    def __init__(
        self, *, classes: int = 4, aus: int = 17, width: int = 64, embedding: int = 48, dropout: float = 0.3
    ) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
            convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

        self.features = nn.Sequential(
            block(2, 24, 5, stride=2),  # (N, 24, 16, 16)
            block(24, 32, 3),
            nn.MaxPool2d(2),
            block(32, 48, 3),
            nn.MaxPool2d(2),  # (N, 48, 4, 4): positions on the face still differ
            nn.Flatten(),
            nn.Dropout(dropout),
        )
        self.mix = nn.Sequential(nn.Linear(48 * 16 + 2, width), nn.ReLU(), nn.Dropout(dropout))
        self.project = nn.Sequential(nn.Linear(width, embedding), nn.ReLU())
        self.classify, self.aus = nn.Linear(embedding, classes), nn.Linear(embedding, aus)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        """Return the embedding (N, embedding) of flow.

        `pattern` is (N, 2, 32, 32), `magnitude` (N, 1).
        """
        return self.project(self.mix(torch.cat([self.features(pattern), *magnitude_mask(magnitude)], 1)))


class LinearNet(nn.Module):
    """A linear flow encoder.

    Its errors are weakly correlated with the CNNs', so the ensemble gains from it.
    """

    ENSEMBLE_WEIGHT = 0.5  # it cannot combine magnitude and pattern
    ENCODER_LAYERS = ()

    def __init__(self, *, classes: int = 4, aus: int = 17, embedding: int = 32) -> None:
        super().__init__()
        self.project = nn.Linear(2 * GRID * GRID, embedding - 2, bias=False)
        self.classify, self.aus = nn.Linear(embedding, classes), nn.Linear(embedding, aus)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        """Return the embedding (N, embedding) of flow.

        `pattern` is (N, 2, 32, 32), `magnitude` (N, 1).
        """
        return torch.cat([self.project(pattern.flatten(1)), *magnitude_mask(magnitude)], 1)


class FlowResNet(nn.Module):
    """The paper's flow encoder.

    ResNet18 -> x_of (N, 512), then projection and ReLU -> e_of (N, embedding).

    The paper does not give the size of e_of, and feeds its flow unscaled; here the magnitude joins x_of, as in
    `FlowNet`.
    """

    ENSEMBLE_WEIGHT = 1.0
    ENCODER_LAYERS = ("encoder",)

    def __init__(self, *, classes: int = 4, aus: int = 17, embedding: int = 48) -> None:
        super().__init__()
        self.encoder = ResNet18()
        self.project = nn.Sequential(nn.Linear(FEATURES + 2, embedding), nn.ReLU())
        self.classify, self.aus = nn.Linear(embedding, classes), nn.Linear(embedding, aus)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        """Return the embedding (N, embedding) of flow.

        `pattern` is (N, 2, 32, 32), `magnitude` (N, 1).
        """
        return self.project(torch.cat([self.encoder(pattern), *magnitude_mask(magnitude)], 1))


FlowEncoder = FlowNet | LinearNet | FlowResNet


def magnitude_mask(magnitude: Tensor) -> tuple[Tensor, Tensor]:
    """Return `magnitude` (N, 1) and where it is known.

    It is 0 where it is unknown; the mask (N, 1) is 1 where it is known.
    """
    is_known = (magnitude < UNKNOWN_MAGNITUDE).float()
    return magnitude * is_known, is_known


class FlowModule(nn.Module):
    """The flow branch: an ensemble of flow encoders whose embeddings are concatenated."""

    def __init__(self, members: Sequence[FlowEncoder]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """Return e_of and Action Unit logits.

        e_of is (N, sum of the members' embeddings), the logits are the mean of the members'.
        """
        embeddings = [member(pattern, magnitude) for member in self.members]
        aus = [member.aus(e) for member, e in zip(self.members, embeddings, strict=True)]
        return torch.cat(embeddings, 1), torch.stack(aus).mean(0)

    def classifier(self) -> nn.Linear:
        """Return the classifier on e_of.

        It gives the weighted mean of the members' class logits.
        """
        heads: list[nn.Linear] = [member.classify for member in self.members]
        weights = [member.ENSEMBLE_WEIGHT for member in self.members]
        shares = [weight / sum(weights) for weight in weights]
        linear = nn.Linear(sum(head.in_features for head in heads), heads[0].out_features)
        matrices, biases = zip(*((s * h.weight, s * h.bias) for s, h in zip(shares, heads, strict=True)), strict=True)
        linear.weight.data, linear.bias.data = torch.cat(matrices, 1).detach(), torch.stack(biases).sum(0).detach()
        return linear


class CosineClassifier(nn.Module):
    """Eqs. 6-7: scale * cos(e, w), with a learned scale.

    Wei-Yu Chen et al., A Closer Look at Few-Shot Classification, ICLR 2019.
    """

    def __init__(self, embedding: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, embedding))
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())

    def forward(self, e: Tensor) -> Tensor:
        """Return logits (N, classes) of embeddings (N, embedding)."""
        return self.log_scale.exp() * functional.normalize(e) @ functional.normalize(self.weight).T


class Merau(nn.Module):
    """Fusion of flow and apex branch (eq. 3), and a classifier (eq. 5).

    e = e_of (+) e_a1 (+) e_a2; Action Unit logits come from e_of.

    Action Units from the flow are not in the paper: motion transfers across identities. Without the Action Unit module
    `au` the model has no apex branch and e = e_of; with it, a sample without an apex image has e_a1 = e_a2 = 0. The
    module is frozen, so it stays in its evaluation mode (eq. 2).
    """

    classify: nn.Module

    def __init__(self, flow: FlowModule, *, au: AuModule | None = None, embedding: int = 24) -> None:
        super().__init__()
        self.flow, self.au = flow, au
        flow_classifier = flow.classifier()
        self.dimension, self.classify = flow_classifier.in_features, flow_classifier
        if au:
            units = au.detector[-1].out_features
            self.project_code = nn.Sequential(nn.Linear(au.encoder.features, embedding), nn.ReLU())
            self.project_units = nn.Sequential(nn.Linear(units, embedding), nn.ReLU())
            self.dimension += 2 * embedding
            fused = nn.Linear(self.dimension, flow_classifier.out_features)
            with torch.no_grad():  # start from the flow's classifier; the apex image adds to it
                fused.weight.zero_()[:, : flow_classifier.in_features] = flow_classifier.weight
                fused.bias.copy_(flow_classifier.bias)
            self.classify = fused

    @property
    def apex_px(self) -> int:
        """The side of the apex image; 0 without an apex branch."""
        return self.au.encoder.size_px if self.au else 0

    def train(self, mode: bool = True) -> "Merau":
        """Set the training mode of everything but the frozen Action Unit module."""
        super().train(mode)
        if self.au:
            self.au.eval()
        return self

    def forward(
        self, flow: Tensor, magnitude: Tensor, apex: Tensor | None = None, has_apex: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the embedding e (N, dimension) and Action Unit logits (N, aus).

        Args:
            flow: Pattern of the flow, (N, 2, 32, 32).
            magnitude: Log magnitude of the flow, (N, 1).
            apex: With an apex branch, images (N, 1, S, S) in 0..1.
            has_apex: With an apex branch, (N, 1), 1 where `apex` holds an image and 0 elsewhere.
        """
        e_of, aus = self.flow(flow, magnitude)
        if self.au is None:
            return e_of, aus
        x_au, p = self.au(apex)
        e_a1, e_a2 = self.project_code(x_au), self.project_units(p)
        return torch.cat([e_of, has_apex * e_a1, has_apex * e_a2], 1), aus


def reset_classifier(model: Merau, kind: str, classes: int) -> None:
    """Give `model` an untrained classifier: linear (eq. 5) or cosine (eq. 6).

    Prototypes (eq. 9) need none.
    """
    if kind == "prototypes":
        model.classify = nn.Identity()
    else:
        classifier = CosineClassifier if kind == "cosine" else nn.Linear
        model.classify = classifier(model.dimension, classes)
