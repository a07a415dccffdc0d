"""Training of the baselines that are networks.

They are trained for a fixed number of epochs, of which the last is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.engine import heads
from merau.trainers.baselines.losses import LOSSES
from merau.trainers.evaluate.metrics import class_scores
from merau.trainers.evaluate.protocols import NeedsSamples
from merau.trainers.evaluate.task import Task

TIMED_RUNS = 15  # of one sample, whose median is told


@dataclass(frozen=True)
class Batch:
    """What is known of n samples beside their input.

    Attributes:
        label: (n,) class indices.
        domain: (n,) index of each sample's database.
        rows: (n,) rows of the task.
    """

    label: Tensor
    domain: Tensor
    rows: Tensor


class Baseline(nn.Module):
    """A network: inputs (n, ...) -> embedding (n, d) and logits (n, C)."""

    def loss(self, embedding: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of embeddings (n, d) and logits (n, C)."""
        return functional.cross_entropy(logits, batch.label)


@dataclass(frozen=True)
class Training:
    """How a network is trained, with AdamW."""

    epochs: int = 20
    batch: int = 16
    rate: float = 1e-3
    weight_decay: float = 1e-3


@dataclass
class Network:
    """A model (see `protocols.Model`) that trains a network.

    With a source of two classes or more the network is trained on the source once, and a linear classifier on its
    embedding learns from the samples shown.

    Attributes:
        task: The task.
        inputs: (N, ...), one row for each sample.
        build: Returns an untrained network for a number of classes.
        best_epoch: Whether to keep the epoch that is best on the TEST rows, only to imitate some publications.
        training: How the network is trained.
        loss: Name of a loss in `losses.LOSSES`; None for the network's own.
        pretrained: Networks trained on a source, by seed and source.
        watch: Called after each epoch with its number, the mean loss, and that of the test rows, where they are known.
    """

    task: Task
    inputs: Tensor
    build: Callable[[int], Baseline]
    best_epoch: bool = False
    training: Training = field(default_factory=Training)
    loss: str | None = None
    pretrained: dict[tuple[int, bytes], Baseline] = field(default_factory=dict)
    watch: Callable[[int, float, float], None] | None = None

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        """See `protocols.Model`."""
        if not len(train):
            raise NeedsSamples("A network must be trained on samples first: choose a protocol that trains it.")
        probabilities = np.zeros((len(test), len(self.task.classes)))
        present, label = np.unique(self.task.label[train], return_inverse=True)
        if source is None or len(np.unique(self.task.label[source])) < 2:  # one class teaches nothing
            probabilities[:, present] = self.fit(train, label, len(present), seed, test=test)[1]
            return probabilities
        key = 0, source.tobytes()  # one network for all draws: only the samples shown change
        if key not in self.pretrained:
            classes, source_label = np.unique(self.task.label[source], return_inverse=True)
            self.pretrained[key] = self.fit(source, source_label, len(classes), 0)[0]
        net = self.pretrained[key]
        probabilities[:, present] = predict_linear(self.embed(net, train), label, self.embed(net, test))
        return probabilities

    def fit(
        self, rows: np.ndarray, label: np.ndarray, classes: int, seed: int, *, test: np.ndarray | None = None
    ) -> tuple[Baseline, np.ndarray]:
        """Train a network on `rows` with their `label` (n,) in 0..classes-1.

        Returns:
            The network, and its probabilities (m, classes) for `test`.
        """
        torch.manual_seed(seed)
        net, target = self.build(classes), torch.from_numpy(label)
        domain = torch.from_numpy(np.unique(self.task.data.dataset, return_inverse=True)[1])
        optimizer = torch.optim.AdamW(net.parameters(), self.training.rate, weight_decay=self.training.weight_decay)
        best = -1.0, np.empty((0, classes))
        for epoch in range(self.training.epochs):
            net.train()
            losses = list[float]()
            for some in torch.randperm(len(rows)).split(self.training.batch):
                if len(some) < 2:  # batch norm needs two
                    continue
                which = torch.from_numpy(rows)[some]
                embedding, logits = net(self.inputs[which])
                loss = self.measure_loss(net, embedding, logits, Batch(target[some], domain[which], which))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            if self.watch and test is not None:
                self.watch(epoch, float(np.mean(losses)), self.test_loss(net, test))
            if test is not None and (self.best_epoch or epoch == self.training.epochs - 1):
                predicted = self.predict(net, test)
                uf1 = self.score(predicted, rows, label, test)
                best = max(best, (uf1, predicted), key=lambda pair: pair[0]) if self.best_epoch else (uf1, predicted)
        return net, best[1]

    def measure_loss(self, net: Baseline, embedding: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss that was asked for."""
        return LOSSES[self.loss](embedding, logits, batch.label) if self.loss else net.loss(embedding, logits, batch)

    def test_loss(self, net: Baseline, test: np.ndarray) -> float:
        """Return the cross-entropy of the rows `test`, whose classes are all trained on."""
        right = self.predict(net, test)[np.arange(len(test)), self.task.label[test]]
        return float(-np.log(np.maximum(right, 1e-9)).mean())

    def cost(self) -> dict[str, float]:
        """Return the number of parameters, and the milliseconds of one sample with the threads in use."""
        net = self.build(len(self.task.classes)).eval()
        seconds = list[float]()
        with torch.no_grad():
            for _ in range(TIMED_RUNS):
                begun = perf_counter()
                net(self.inputs[:1])
                seconds.append(perf_counter() - begun)
        return {
            "parameters": sum(p.numel() for p in net.parameters()),
            "milliseconds": round(1000 * sorted(seconds)[TIMED_RUNS // 2], 3),
        }

    def score(self, predicted: np.ndarray, rows: np.ndarray, label: np.ndarray, test: np.ndarray) -> float:
        """Return UF1 of probabilities `predicted` (m, classes) for `test`.

        `label` are the classes of `rows`.
        """
        task_class = {int(label[i]): self.task.label[rows[i]] for i in range(len(rows))}
        classes = np.array([task_class[c] for c in predicted.argmax(1)])
        return class_scores(self.task.label[test], classes, len(self.task.classes))["uf1"]

    def predict(self, net: Baseline, rows: np.ndarray) -> np.ndarray:
        """Return probabilities (n, classes) for `rows`."""
        with torch.no_grad():
            logits = net.eval()(self.inputs[torch.from_numpy(rows)])[1]
        return np.asarray(logits.softmax(1).numpy())

    def embed(self, net: Baseline, rows: np.ndarray) -> np.ndarray:
        """Return embeddings (n, d) of `rows`."""
        with torch.no_grad():
            return np.asarray(net.eval()(self.inputs[torch.from_numpy(rows)])[0].numpy())


def predict_linear(train: np.ndarray, label: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Fit a linear head to embeddings `train` (n, d) of `label` (n,).

    Return probabilities (m, C) for `test`.
    """
    classes = [str(c) for c in range(label.max() + 1)]
    if len(classes) == 1:
        return np.ones((len(test), 1))
    return heads.softmax(heads.Linear.fit(train, label, classes).logits(test))
