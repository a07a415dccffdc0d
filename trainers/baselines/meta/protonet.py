"""ProtoNet: Jake Snell, Kevin Swersky and Richard Zemel, Prototypical Networks for Few-shot Learning, NeurIPS 2017."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.trainers.baselines.meta.clip_net import ClipNet
from merau.trainers.baselines.meta.episodes import Episode, MetaSettings


class ClipProtoNet:
    """Classes are the means of their shots' features; nothing is adapted."""

    def __init__(self, classes: int, settings: MetaSettings) -> None:
        self.net: nn.Module = ClipNet()

    def accumulate(self, episode: Episode) -> None:
        """See `episodes.Learner`."""
        functional.cross_entropy(self.predict(episode), episode.query_label).backward()

    def predict(self, episode: Episode) -> Tensor:
        """See `episodes.Learner`: logits are minus squared distances, in units of the number of features."""
        shown, asked = self.net(episode.support), self.net(episode.query)
        classes = int(episode.support_label.max()) + 1
        prototypes = torch.stack([shown[episode.support_label == c].mean(0) for c in range(classes)])
        return -(torch.cdist(asked, prototypes) ** 2) / shown.shape[1] ** 0.5
