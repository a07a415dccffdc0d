"""MAML: Chelsea Finn, Pieter Abbeel and Sergey Levine, Model-Agnostic Meta-Learning, ICML 2017."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from merau.trainers.baselines.meta.clip_net import Classifier
from merau.trainers.baselines.meta.episodes import Episode, MetaSettings

Weights = dict[str, Tensor]


class Maml:
    """A start from which a step on the shots suffices: the query's loss is differentiated through the step."""

    def __init__(self, classes: int, settings: MetaSettings) -> None:
        self.net: nn.Module = Classifier(classes)
        self.settings = settings

    def accumulate(self, episode: Episode) -> None:
        """See `episodes.Learner`."""
        logits = functional_call(self.net, self.adapt(episode, second_order=True), (episode.query,))
        functional.cross_entropy(logits, episode.query_label).backward()

    def predict(self, episode: Episode) -> Tensor:
        """See `episodes.Learner`."""
        return functional_call(self.net, self.adapt(episode, second_order=False), (episode.query,))

    def adapt(self, episode: Episode, *, second_order: bool = False) -> Weights:
        """Return the weights after the inner steps on the shots."""
        weights = dict(self.net.named_parameters())
        for _ in range(self.settings.inner_steps):
            weights = self.step(weights, episode, second_order=second_order)
        return weights

    def step(self, weights: Weights, episode: Episode, *, second_order: bool = False) -> Weights:
        """Return `weights` after one step of gradient descent on the shots."""
        changed = [name for name in weights if self.is_adapted(name)]
        loss = self.inner_loss(weights, episode)
        gradients = torch.autograd.grad(loss, [weights[name] for name in changed], create_graph=second_order)
        rate = self.settings.inner_rate
        stepped = {name: weights[name] - rate * slope for name, slope in zip(changed, gradients, strict=True)}
        return {**weights, **stepped}

    def is_adapted(self, name: str) -> bool:
        """Return whether an inner step changes the parameter `name`."""
        return True

    def inner_loss(self, weights: Weights, episode: Episode) -> Tensor:
        """Return the loss of the shots."""
        logits = functional_call(self.net, weights, (episode.support,))
        return functional.cross_entropy(logits, episode.support_label)
