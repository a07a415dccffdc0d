"""MatchingNet: Oriol Vinyals et al., Matching Networks for One Shot Learning, NeurIPS 2016, without full context."""

from torch import Tensor, nn
from torch.nn import functional

from merau.trainers.baselines.meta.clip_net import ClipNet
from merau.trainers.baselines.meta.episodes import Episode, MetaSettings

SHARPNESS = 10  # factor of the cosine before the softmax over shots


class MatchingNet:
    """A query is classified as its shots are, each weighing by its cosine to the query (the paper's eq. 1)."""

    def __init__(self, classes: int, settings: MetaSettings) -> None:
        self.net: nn.Module = ClipNet()

    def accumulate(self, episode: Episode) -> None:
        """See `episodes.Learner`."""
        functional.nll_loss(self.predict(episode), episode.query_label).backward()

    def predict(self, episode: Episode) -> Tensor:
        """See `episodes.Learner`: logarithms of probabilities."""
        shown, asked = (functional.normalize(self.net(clips)) for clips in (episode.support, episode.query))
        attention = (SHARPNESS * asked @ shown.T).softmax(1)
        classes = int(episode.support_label.max()) + 1
        return (attention @ functional.one_hot(episode.support_label, classes).float() + 1e-6).log()
