"""Reptile: Alex Nichol, Joshua Achiam and John Schulman, On First-Order Meta-Learning Algorithms, 2018."""

from torch import Tensor, nn
from torch.func import functional_call

from merau.trainers.baselines.meta.clip_net import Classifier
from merau.trainers.baselines.meta.episodes import Episode, MetaSettings
from merau.trainers.baselines.meta.maml import Maml, Weights

STEPS = 5  # inner steps; one would be joint training


class Reptile:
    """A start that moves towards where several steps on the shots lead; no second derivative."""

    def __init__(self, classes: int, settings: MetaSettings) -> None:
        self.net: nn.Module = Classifier(classes)
        self._maml = Maml(classes, settings)
        self._maml.net = self.net

    def accumulate(self, episode: Episode) -> None:
        """See `episodes.Learner`. The gradient is the way back from the adapted weights."""
        adapted = self.adapt(episode)
        for name, parameter in self.net.named_parameters():
            parameter.grad = (parameter - adapted[name]).detach() / self._maml.settings.inner_rate

    def predict(self, episode: Episode) -> Tensor:
        """See `episodes.Learner`."""
        return functional_call(self.net, self.adapt(episode), (episode.query,))

    def adapt(self, episode: Episode) -> Weights:
        """Return the weights after STEPS steps on the shots."""
        weights = dict(self.net.named_parameters())
        for _ in range(STEPS):
            weights = self._maml.step(weights, episode)
        return weights
