"""RelationNet: Flood Sung et al., Learning to Compare: Relation Network for Few-Shot Learning, CVPR 2018."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.trainers.baselines.meta.clip_net import FEATURES, ClipNet
from merau.trainers.baselines.meta.episodes import Episode, MetaSettings

HIDDEN = 64


class Comparison(nn.Module):
    """The backbone, and a learned comparison of two features: (..., 2 FEATURES) -> (..., 1) in 0..1."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ClipNet()
        self.compare = nn.Sequential(nn.Linear(2 * FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))


class RelationNet:
    """A query's relation to the sum of each class's shots is learned by regression to 0 and 1 (the paper's eq. 2)."""

    def __init__(self, classes: int, settings: MetaSettings) -> None:
        self.net: Comparison = Comparison()

    def accumulate(self, episode: Episode) -> None:
        """See `episodes.Learner`."""
        score = self.predict(episode).sigmoid()
        functional.mse_loss(score, functional.one_hot(episode.query_label, score.shape[1]).float()).backward()

    def predict(self, episode: Episode) -> Tensor:
        """See `episodes.Learner`."""
        shown, asked = self.net.backbone(episode.support), self.net.backbone(episode.query)
        classes = int(episode.support_label.max()) + 1
        of_class = torch.stack([shown[episode.support_label == c].mean(0) for c in range(classes)])
        pairs = torch.cat(torch.broadcast_tensors(asked[:, None], of_class[None]), -1)
        return self.net.compare(pairs)[..., 0]
