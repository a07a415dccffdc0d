"""Meta-training on N-way K-shot episodes, and prediction after the shots: what all learners have in common."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from merau.engine.validation import check_range
from merau.trainers.baselines.clips import read_clips, subtract_onset
from merau.trainers.baselines.meta.clip_net import FRAMES, SIZE_PX
from merau.trainers.data.flow_set import FlowSet
from merau.trainers.evaluate.protocols import NeedsSamples
from merau.trainers.evaluate.task import Task


@dataclass(frozen=True)
class MetaSettings:
    """How learners are meta-trained.

    LightmanNet prints inner and outer rates of .2 and .1 for Adam, with which nothing is learned: the inner step is
    plain gradient descent here, the outer one Adam.

    Attributes:
        episodes: Episodes of a meta-training.
        shots: Shots of a class in an episode.
        queries: Queries of a class in an episode.
        inner_rate: Rate of an inner step.
        inner_steps: Inner steps in an episode and before a prediction; the paper takes one.
        outer_rate: Rate of Adam.
        support: At most so many samples of a class are adapted to before a prediction.
    """

    episodes: int = 120
    shots: int = 5
    queries: int = 5
    inner_rate: float = 0.05
    inner_steps: int = 1
    outer_rate: float = 2e-3
    support: int = 10

    def __post_init__(self) -> None:
        check_range(self, "episodes", "shots", "queries", "inner_steps", "support", low=1)
        check_range(self, "inner_rate", "outer_rate", above=0)


PUBLISHED = MetaSettings(episodes=20_000, inner_rate=0.2, outer_rate=0.1)


@dataclass(frozen=True)
class Episode:
    """Clips of n classes.

    Attributes:
        support: (n K, T, S, S), the shots.
        support_label: (n K,) class indices.
        query: (n Q, T, S, S).
        query_label: (n Q,) class indices.
        macro: Clips (m, T, S, S) of macro-expressions to align with, for learners that use them; else (0, T, S, S).
    """

    support: Tensor
    support_label: Tensor
    query: Tensor
    query_label: Tensor
    macro: Tensor


class Learner(Protocol):
    """A way of learning. Its `net` holds what the meta-training changes."""

    net: nn.Module

    def accumulate(self, episode: Episode) -> None:
        """Add the gradient of an episode to that of the parameters of `net`."""
        ...

    def predict(self, episode: Episode) -> Tensor:
        """Return logits (m, N) of the queries after the shots; `net` stays as it is."""
        ...


@dataclass
class EpisodicModel:
    """A learner as the protocols call it (`protocols.Model`).

    It is meta-trained on the source where there is one of two classes or more, else on the samples shown; then it
    adapts to the samples shown.

    Attributes:
        task: The task.
        clips: (N, T, S, S) of the samples.
        macro: (M, T, S, S) of macro-expressions, or none.
        make: Returns an untrained learner for a number of classes.
        settings: How it is meta-trained.
        trained: Learners trained on a source, by source and number of classes.
    """

    task: Task
    clips: Tensor
    macro: Tensor
    make: Callable[[int, MetaSettings], Learner]
    settings: MetaSettings = field(default_factory=MetaSettings)
    trained: dict[tuple[bytes, int], Learner] = field(default_factory=dict)

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        """See `protocols.Model`."""
        if not len(train):
            raise NeedsSamples("A meta-learner must be shown samples first.")
        present, label = np.unique(self.task.label[train], return_inverse=True)
        probabilities = np.zeros((len(test), len(self.task.classes)))
        if len(present) == 1:
            probabilities[:, present] = 1
            return probabilities
        has_source = source is not None and len(np.unique(self.task.label[source])) > 1
        pool = source if source is not None and has_source else train
        key = pool.tobytes(), len(present)
        if key not in self.trained:
            self.trained[key] = self.meta_train(pool, len(present), seed)
        logits = self.trained[key].predict(self.make_episode(train, label, test, seed)).detach()
        probabilities[:, present] = logits.softmax(1).numpy()
        return probabilities

    def make_episode(self, train: np.ndarray, label: np.ndarray, test: np.ndarray, seed: int) -> Episode:
        """Return the episode of a prediction: a few of the rows `train` with their `label` (n,), asked for `test`."""
        rng = np.random.default_rng(seed)
        shown = np.concatenate(
            [few(rng, np.flatnonzero(label == c), self.settings.support) for c in np.unique(label).tolist()]
        )
        none = torch.zeros(len(test), dtype=torch.long)
        macro = self.draw_macro(rng, len(shown))
        rows = torch.from_numpy(train[shown])
        return Episode(self.clips[rows], torch.from_numpy(label[shown]), self.clips[test], none, macro)

    def meta_train(self, pool: np.ndarray, classes: int, seed: int) -> Learner:
        """Return a learner that was trained on episodes of `classes` classes from the rows `pool`."""
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        learner = self.make(classes, self.settings)
        optimizer = torch.optim.Adam(learner.net.parameters(), self.settings.outer_rate)
        for _ in range(self.settings.episodes):
            optimizer.zero_grad()
            learner.accumulate(self.draw_episode(rng, pool, classes))
            optimizer.step()
        return learner

    def draw_episode(self, rng: np.random.Generator, pool: np.ndarray, classes: int) -> Episode:
        """Draw an episode of at most `classes` classes of `pool`; a class with few samples repeats them.

        The order of the classes is random, so that a head learns to be taught, not the classes.
        """
        label = self.task.label[pool]
        chosen = rng.permutation(np.unique(label))[:classes]
        settings = self.settings
        support, query = list[np.ndarray](), list[np.ndarray]()
        for c in chosen:
            members = rng.permutation(pool[label == c])
            shots = max(1, min(settings.shots, len(members) // 2))
            rest = members[shots:] if len(members) > shots else members
            support.append(rng.choice(members[:shots], settings.shots))
            query.append(rng.choice(rest, settings.queries))
        at = torch.arange(len(chosen))
        return Episode(
            self.clips[np.concatenate(support)],
            at.repeat_interleave(settings.shots),
            self.clips[np.concatenate(query)],
            at.repeat_interleave(settings.queries),
            self.draw_macro(rng, len(chosen) * settings.shots),
        )

    def draw_macro(self, rng: np.random.Generator, count: int) -> Tensor:
        """Draw at most `count` clips of macro-expressions."""
        return self.macro[rng.permutation(len(self.macro))[:count]]


def few(rng: np.random.Generator, rows: np.ndarray, count: int) -> np.ndarray:
    """Draw at most `count` of `rows`."""
    return rng.permutation(rows)[:count]


def moving_clips(data: FlowSet, name: str) -> Tensor:
    """Return the clips of `data` less their first frame, of unit spread, (N, T, S, S) float32."""
    clips = read_clips(data, name, frames=FRAMES, size_px=SIZE_PX)
    return subtract_onset(torch.from_numpy(clips))
