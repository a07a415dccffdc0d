"""MERAU: Dai & Feng, Cross-Domain Few-Shot Micro-Expression Recognition Incorporating Action Units, 2021."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.engine.preprocess import GRID, UNKNOWN_MAGNITUDE
from merau.trainers.models.au import AuModule
from merau.trainers.models.resnet import FEATURES, ResNet18


class FlowNet(nn.Module):
    """One judge of the flow: pattern (N, 2, 32, 32) and magnitude (N, 1) -> e_of (N, embedding), with heads of its own.

    The paper's own is `FlowResNet`; on synthetic flow a net of this size is as good and 200 times cheaper. The
    magnitude joins after the convolutions: it says how much moves, not what.
    """

    ENSEMBLE_WEIGHT = 1.0  # on the class, beside other judges
    ENCODER_LAYERS = ("features", "mix")  # what learns at the encoder's rate of table 2

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
            nn.MaxPool2d(2),  # (N, 48, 4, 4): where on the face still counts
            nn.Flatten(),
            nn.Dropout(dropout),
        )
        self.mix = nn.Sequential(nn.Linear(48 * 16 + 2, width), nn.ReLU(), nn.Dropout(dropout))
        self.project = nn.Sequential(nn.Linear(width, embedding), nn.ReLU())
        self.classify, self.aus = nn.Linear(embedding, classes), nn.Linear(embedding, aus)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        return self.project(self.mix(torch.cat([self.features(pattern), *magnitude_mask(magnitude)], 1)))


class LinearNet(nn.Module):
    """The same with nothing but linear maps: it errs elsewhere than the nets, so that together they err less."""

    ENSEMBLE_WEIGHT = 0.5  # it cannot weigh how much moves against what
    ENCODER_LAYERS = ()

    def __init__(self, *, classes: int = 4, aus: int = 17, embedding: int = 32) -> None:
        super().__init__()
        self.project = nn.Linear(2 * GRID * GRID, embedding - 2, bias=False)
        self.classify, self.aus = nn.Linear(embedding, classes), nn.Linear(embedding, aus)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        return torch.cat([self.project(pattern.flatten(1)), *magnitude_mask(magnitude)], 1)


class FlowResNet(nn.Module):
    """The paper's judge: ResNet18 -> x_of (N, 512), then projection and ReLU -> e_of (N, embedding).

    The paper does not give the size of e_of. Its flow comes as it is; here the magnitude joins x_of, as in `FlowNet`.
    """

    ENSEMBLE_WEIGHT = 1.0
    ENCODER_LAYERS = ("encoder",)

    def __init__(self, *, classes: int = 4, aus: int = 17, embedding: int = 48) -> None:
        super().__init__()
        self.encoder = ResNet18()
        self.project = nn.Sequential(nn.Linear(FEATURES + 2, embedding), nn.ReLU())
        self.classify, self.aus = nn.Linear(embedding, classes), nn.Linear(embedding, aus)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        return self.project(torch.cat([self.encoder(pattern), *magnitude_mask(magnitude)], 1))


FlowEncoder = FlowNet | LinearNet | FlowResNet


def magnitude_mask(magnitude: Tensor) -> tuple[Tensor, Tensor]:
    """`magnitude` (N, 1), 0 where it is not known, and 1 or 0 whether it is."""
    is_known = (magnitude < UNKNOWN_MAGNITUDE).float()
    return magnitude * is_known, is_known


class FlowModule(nn.Module):
    """Several judges of one flow: e_of (N, sum of their embeddings) and the mean of their Action Unit logits."""

    def __init__(self, members: Sequence[FlowEncoder]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = [member(pattern, magnitude) for member in self.members]
        aus = [member.aus(e) for member, e in zip(self.members, embeddings, strict=True)]
        return torch.cat(embeddings, 1), torch.stack(aus).mean(0)

    def classifier(self) -> nn.Linear:
        """The linear map on e_of that gives the weighted mean of the judges' class logits."""
        heads: list[nn.Linear] = [member.classify for member in self.members]
        votes = [member.ENSEMBLE_WEIGHT for member in self.members]
        shares = [vote / sum(votes) for vote in votes]
        linear = nn.Linear(sum(head.in_features for head in heads), heads[0].out_features)
        weights, biases = zip(*((s * h.weight, s * h.bias) for s, h in zip(shares, heads, strict=True)), strict=True)
        linear.weight.data, linear.bias.data = torch.cat(weights, 1).detach(), torch.stack(biases).sum(0).detach()
        return linear


class CosineClassifier(nn.Module):
    """Eqs. 6-7: scale * cos(e, w), with a learned scale (Chen et al. 2019)."""

    def __init__(self, embedding: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, embedding))
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())

    def forward(self, e: Tensor) -> Tensor:
        return self.log_scale.exp() * functional.normalize(e) @ functional.normalize(self.weight).T


class Merau(nn.Module):
    """Fusion of eq. 3, e = e_of (+) e_a1 (+) e_a2, a classifier on e (eq. 5) and Action Unit logits from e_of.

    Action Units from the flow are ours: motion tells them across identities. Without the Action Unit module `au` the
    model has no apex branch and e = e_of; with it, a sample without an apex picture has e_a1 = e_a2 = 0. The module is
    frozen, so it stays in its evaluation mode (eq. 2).
    """

    classify: nn.Module

    def __init__(self, flow: FlowModule, *, au: AuModule | None = None, embedding: int = 24) -> None:
        super().__init__()
        self.flow, self.au = flow, au
        alone = flow.classifier()
        self.dimension, self.classify = alone.in_features, alone
        if au:
            units = au.detector[-1].out_features
            self.project_code = nn.Sequential(nn.Linear(au.encoder.features, embedding), nn.ReLU())
            self.project_units = nn.Sequential(nn.Linear(units, embedding), nn.ReLU())
            self.dimension += 2 * embedding
            fused = nn.Linear(self.dimension, alone.out_features)
            with torch.no_grad():  # what the apex picture tells is added to what the flow tells already
                fused.weight.zero_()[:, : alone.in_features] = alone.weight
                fused.bias.copy_(alone.bias)
            self.classify = fused

    @property
    def apex_px(self) -> int:
        """The side of the apex picture; 0 without an apex branch."""
        return self.au.encoder.size_px if self.au else 0

    def train(self, mode: bool = True) -> "Merau":
        super().train(mode)
        if self.au:
            self.au.eval()
        return self

    def forward(
        self, flow: Tensor, magnitude: Tensor, apex: Tensor | None = None, has_apex: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Embedding e and Action Unit logits (N, aus). With `au`: `apex` (N, 1, S, S), `has_apex` (N, 1) of 0 or 1."""
        e_of, aus = self.flow(flow, magnitude)
        if self.au is None:
            return e_of, aus
        x_au, p = self.au(apex)
        e_a1, e_a2 = self.project_code(x_au), self.project_units(p)
        return torch.cat([e_of, has_apex * e_a1, has_apex * e_a2], 1), aus


def reset_classifier(model: Merau, classifier: str, classes: int) -> None:
    """Give `model` an untrained classifier: eq. 5 or eq. 6; prototypes (eq. 9) need none."""
    if classifier == "prototypes":
        model.classify = nn.Identity()
    else:
        kind = CosineClassifier if classifier == "cosine" else nn.Linear
        model.classify = kind(model.dimension, classes)
