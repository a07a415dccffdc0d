"""LightmanNet: meta-learning with an auxiliary branch that aligns micro- with macro-expressions.

Jingyao Wang, Yunhan Tian, Yuxuan Yang, Xiaoxin Chen, Changwen Zheng and Wenwen Qiang, "Meta-Auxiliary Learning for
Micro-Expression Recognition", ACM MM 2024. Equation numbers are the paper's. Eq. 3 prints the cross term of the MMD
alone; here it is the whole MMD^2, as a sum of kernels that grows would push the features apart. Eq. 4 is read as: the
inner step is on lambda1 L_pri + lambda2 L_aux of the shots, the outer one on the primary loss of the queries.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from merau.trainers.baselines.meta.clip_net import FEATURES, ClipNet
from merau.trainers.baselines.meta.episodes import Episode, MetaSettings
from merau.trainers.baselines.meta.maml import Maml, Weights

PRIMARY, AUXILIARY = 0.55, 0.45  # lambda1 and lambda2, section 5.4
ALIGNED = 32  # features that the auxiliary branch compares


class TwoBranches(nn.Module):
    """Backbone g, primary branch h_pri and auxiliary branch h_aux: clips (n, T, S, S) -> logits, aligned features."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = ClipNet()
        self.head = nn.Linear(FEATURES, classes)
        self.align = nn.Linear(FEATURES, ALIGNED)

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n, classes) and aligned features (n, ALIGNED) of `clip`."""
        features = self.backbone(clip)
        return self.head(features), self.align(features)


class LightmanNet(Maml):
    """Bi-level optimization over both branches; every episode needs macro-expressions."""

    auxiliary = AUXILIARY

    def __init__(self, classes: int, settings: MetaSettings) -> None:
        super().__init__(classes, settings)
        self.net = TwoBranches(classes)

    def is_adapted(self, name: str) -> bool:
        """Return whether an inner step changes the parameter `name`: all of a branch that is used."""
        return bool(self.auxiliary) or not name.startswith("align.")

    def accumulate(self, episode: Episode) -> None:
        """See `episodes.Learner`: the outer level knows the primary branch alone."""
        logits, _ = functional_call(self.net, self.adapt(episode, second_order=True), (episode.query,))
        functional.cross_entropy(logits, episode.query_label).backward()

    def predict(self, episode: Episode) -> Tensor:
        """See `episodes.Learner`."""
        logits: Tensor = functional_call(self.net, self.adapt(episode, second_order=False), (episode.query,))[0]
        return logits

    def inner_loss(self, weights: Weights, episode: Episode) -> Tensor:
        """Return lambda1 L_pri (eq. 2) + lambda2 L_aux (eq. 3) of the shots."""
        logits, micro = functional_call(self.net, weights, (episode.support,))
        primary = functional.cross_entropy(logits, episode.support_label)
        if not self.auxiliary:
            return primary
        _, macro = functional_call(self.net, weights, (episode.macro,))
        return PRIMARY * primary + self.auxiliary * mmd2(micro, macro)


class WithoutAuxiliary(LightmanNet):
    """The paper's ablation without the auxiliary branch."""

    auxiliary = 0.0


class WithoutBiLevel(LightmanNet):
    """The paper's ablation without bi-level optimization: both losses are minimized together on all samples."""

    def accumulate(self, episode: Episode) -> None:
        """See `episodes.Learner`."""
        together = Episode(
            torch.cat([episode.support, episode.query]),
            torch.cat([episode.support_label, episode.query_label]),
            episode.query,
            episode.query_label,
            episode.macro,
        )
        self.inner_loss(dict(self.net.named_parameters()), together).backward()


def mmd2(one: Tensor, other: Tensor) -> Tensor:
    """Return the squared maximum mean discrepancy of features (n, d) and (m, d), Gretton et al. 2012, eq. 5.

    The bandwidth of the Gaussian kernel is the median distance.
    """
    both = torch.cat([one, other])
    length = (both**2).sum(1)
    squared = (length[:, None] + length - 2 * both @ both.T).clamp(min=0)  # torch.cdist has no second derivative
    kernel = (-squared / (2 * squared.detach().median().clamp(min=1e-6))).exp()
    n = len(one)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
