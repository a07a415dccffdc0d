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

EVIDENCE_SHARE = 0.25  # of the Action Units' logits in the classes'


class FlowNet(nn.Module):
    """A small CNN as flow encoder: an ensemble member with heads of its own.

    The encoder of the paper is `FlowResNet`; on synthetic flow a net of this size is as accurate and far cheaper. Of
    the magnitude it sees only whether it is known, as the third channel: flow sets are another world than a camera, but
    what moves does not depend on how much it moves.
    """

    ENCODER_LAYERS = ("features",)  # layers that learn at the encoder's rate of table 2

    def __init__(self, *, classes: int = 3, aus: int = 17, embedding: int = 64, dropout: float = 0.3) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
            convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

        self.features = nn.Sequential(
            block(3, 24, 5, stride=2),  # (N, 24, 16, 16)
            block(24, 32, 3, stride=1),
            nn.MaxPool2d(2),
            block(32, 48, 3, stride=1),  # (N, 48, 8, 8): positions on the face still differ
            nn.Flatten(),
            nn.Dropout(dropout),
        )
        self.project = nn.Sequential(nn.Linear(48 * 64, embedding), nn.ReLU(), nn.Dropout(dropout))
        self.classify, self.aus = nn.Linear(embedding, classes), nn.Linear(embedding, aus)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        """Return the embedding (N, embedding) of flow.

        `pattern` is (N, 2, 32, 32), `magnitude` (N, 1).
        """
        _, is_known = magnitude_mask(magnitude)
        return self.project(self.features(torch.cat([pattern, plane_like(pattern, is_known)], 1)))


class DctNet(nn.Module):
    """A perceptron on the lowest frequencies of the flow.

    It sees no fine detail, so its errors are weakly correlated with the CNNs', and the ensemble gains from it. Of the
    magnitude it sees what `FlowNet` sees.
    """

    ENCODER_LAYERS = ("features",)
    FREQUENCIES = 12  # across and down

    def __init__(self, *, classes: int = 3, aus: int = 17, embedding: int = 64, dropout: float = 0.3) -> None:
        super().__init__()
        self.register_buffer("basis", cosine_basis(self.FREQUENCIES, GRID))
        inputs, width = 2 * self.FREQUENCIES**2 + 1, 128
        self.features = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(inputs, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.project = nn.Sequential(nn.Linear(width, embedding), nn.ReLU(), nn.Dropout(dropout))
        self.classify, self.aus = nn.Linear(embedding, classes), nn.Linear(embedding, aus)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        """Return the embedding (N, embedding) of flow.

        `pattern` is (N, 2, 32, 32), `magnitude` (N, 1).
        """
        _, is_known = magnitude_mask(magnitude)
        waves = (self.basis @ pattern @ self.basis.T).flatten(1)
        return self.project(self.features(torch.cat([waves, is_known], 1)))


def cosine_basis(frequencies: int, cells: int) -> Tensor:
    """Return the first rows (frequencies, cells) of the orthonormal DCT-II of `cells` values."""
    at = torch.pi / cells * torch.outer(torch.arange(frequencies), torch.arange(cells) + 0.5)
    scale = torch.full((frequencies, 1), (2 / cells) ** 0.5)
    scale[0] = (1 / cells) ** 0.5
    return scale * at.cos()


class NothingNet(nn.Module):
    """Says whether anything is expressed: features of pattern and magnitude, and one logit of "no expression".

    It is apart from the members, which learn from expressions only. It sees the magnitude in every cell, because noise,
    head motion and speech are told by the size of what moves where.
    """

    def __init__(self, *, features: int = 16, dropout: float = 0.3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            block(3, 16, 5, stride=2),  # (N, 16, 16, 16)
            block(16, 24, 3),
            nn.MaxPool2d(2),
            block(24, 32, 3),
            nn.MaxPool2d(2),  # (N, 32, 4, 4)
            nn.Flatten(),
            nn.Dropout(dropout),
        )
        self.mix = nn.Sequential(
            nn.Linear(32 * 16 + 2, 48), nn.ReLU(), nn.Dropout(dropout), nn.Linear(48, features), nn.ReLU()
        )
        self.classify = nn.Linear(features, 1)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> Tensor:
        """Return features (N, features) of `pattern` (N, 2, 32, 32) and `magnitude` (N, 1)."""
        size, is_known = magnitude_mask(magnitude)
        seen = self.features(torch.cat([pattern, plane_like(pattern, size / 3)], 1))
        return self.mix(torch.cat([seen, size, is_known], 1))


def block(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution with batch norm and ReLU."""
    convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def plane_like(pattern: Tensor, value: Tensor) -> Tensor:
    """Return a channel (N, 1, G, G) of one `value` (N, 1) for each of the flows (N, 2, G, G)."""
    return 0 * pattern[:, :1] + value[:, :, None, None]


class FlowResNet(nn.Module):
    """The paper's flow encoder.

    ResNet18 -> x_of (N, 512), then projection and ReLU -> e_of (N, embedding).

    The paper does not give the size of e_of, and feeds its flow unscaled; here the magnitude joins x_of.
    """

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


FlowEncoder = FlowNet | DctNet | FlowResNet


def magnitude_mask(magnitude: Tensor) -> tuple[Tensor, Tensor]:
    """Return `magnitude` (N, 1) and where it is known.

    It is 0 where it is unknown; the mask (N, 1) is 1 where it is known.
    """
    is_known = (magnitude < UNKNOWN_MAGNITUDE).float()
    return magnitude * is_known, is_known


def mirror(pattern: Tensor) -> Tensor:
    """Mirror flows (N, 2, G, G) from left to right; u changes its sign."""
    backwards = torch.arange(pattern.shape[-1] - 1, -1, -1, device=pattern.device)
    turned = pattern.index_select(-1, backwards)
    return torch.cat([-turned[:, :1], turned[:, 1:]], 1)


class FlowModule(nn.Module):
    """The flow branch: an ensemble of flow encoders whose embeddings are concatenated.

    Action Units tell classes, too: each class of `evidence` adds to the embedding the highest logit of its units.

    Args:
        members: The ensemble.
        nothing: The net that tells expressions from none, if the classes have one for none.
        evidence: Indices (E, U) of the units that speak for each class; none where the classes are others.
    """

    def __init__(
        self, members: Sequence[FlowEncoder], *, nothing: NothingNet | None = None, evidence: Tensor | None = None
    ) -> None:
        super().__init__()
        self.members, self.nothing = nn.ModuleList(members), nothing
        self.register_buffer("evidence", evidence)

    def forward(self, pattern: Tensor, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """Return e_of and Action Unit logits.

        e_of is (N, sum of the members' embeddings, evidence and features of `nothing`), the logits are the mean of the
        members'. Unless in training, members see the flow and its mirror image, and give the mean.
        """
        views = [pattern] if self.training else [pattern, mirror(pattern)]
        sizes = torch.cat([magnitude] * len(views))
        seen = [member(torch.cat(views), sizes) for member in self.members]
        parts = [e.reshape(len(views), -1, e.shape[1]).mean(0) for e in seen]
        aus = torch.stack([member.aus(e) for member, e in zip(self.members, parts, strict=True)]).mean(0)
        if self.evidence is not None:
            classes, units = self.evidence.shape
            spoken = aus.index_select(1, self.evidence.flatten())
            parts.append(spoken.reshape(-1, classes, units).amax(2))
        if self.nothing is not None:
            parts.append(self.nothing(pattern, magnitude))
        return torch.cat(parts, 1), aus

    def classifier(self) -> nn.Linear:
        """Return the classifier on e_of.

        It gives the mean of the members' class logits and EVIDENCE_SHARE of each class's evidence; with `nothing` it
        is gated.
        """
        heads: list[nn.Linear] = [member.classify for member in self.members]
        weight = torch.cat([head.weight for head in heads], 1) / len(heads)
        bias = torch.stack([head.bias for head in heads]).mean(0)
        if self.evidence is not None:
            weight = torch.cat([weight, EVIDENCE_SHARE * torch.eye(len(bias))], 1)
        linear: nn.Linear = nn.Linear(weight.shape[1], len(bias))
        if self.nothing is not None:
            weight = torch.block_diag(weight, self.nothing.classify.weight)
            bias = torch.cat([bias, self.nothing.classify.bias])
            linear = GatedClassifier(weight.shape[1], len(bias))
        linear.weight.data, linear.bias.data = weight.detach(), bias.detach()
        return linear


class GatedClassifier(nn.Linear):
    """Classes, and last "no expression", whose log-odds against all the others are the last output of the linear layer.

    So the others' probabilities among themselves do not depend on it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (N, classes) of embeddings (N, d)."""
        given = super().forward(input)
        classes, nothing = given[:, :-1], given[:, -1:]
        return torch.cat([classes, nothing + classes.logsumexp(1, keepdim=True)], 1)


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
            fused = type(flow_classifier)(self.dimension, flow_classifier.out_features)
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
