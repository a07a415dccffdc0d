"""Training the baselines that are networks: a fixed number of epochs, the last one counts."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.engine import heads
from merau.trainers.evaluate.metrics import class_scores
from merau.trainers.evaluate.protocols import NeedsSamples
from merau.trainers.evaluate.task import Task


class Baseline(nn.Module):
    """A recognizer: inputs (n, ...) -> embedding (n, d) and logits (n, C)."""

    def loss(self, embedding: Tensor, logits: Tensor, label: Tensor, domain: Tensor) -> Tensor:
        """`label` (n,); `domain` (n,) which database each sample is of."""
        return functional.cross_entropy(logits, label)


@dataclass(frozen=True)
class Training:
    epochs: int = 20
    batch: int = 16
    rate: float = 1e-3
    weight_decay: float = 1e-3


@dataclass
class Network:
    """A learner (see protocols.Learner) that trains `build(classes)` on `inputs` (N, ...), one row a sample.

    With a source of two classes or more it is trained there once, and a linear classifier on its embedding learns from
    the samples shown.
    `best_epoch` answers with the epoch that does best on the TEST rows: only to imitate what some publications do.
    """

    task: Task
    inputs: Tensor
    build: Callable[[int], Baseline]
    best_epoch: bool = False
    training: Training = field(default_factory=Training)
    pretrained: dict[tuple[int, bytes], Baseline] = field(default_factory=dict)

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        if not len(train):
            raise NeedsSamples("A network that was not trained knows nothing: choose a protocol that trains it.")
        said = np.zeros((len(test), len(self.task.classes)))
        present, label = np.unique(self.task.label[train], return_inverse=True)
        if source is None or len(np.unique(self.task.label[source])) < 2:  # one class alone teaches nothing
            said[:, present] = self.fit(train, label, len(present), seed, test=test)[1]
            return said
        key = 0, source.tobytes()  # one network for all draws: only what is shown changes
        if key not in self.pretrained:
            known, wide = np.unique(self.task.label[source], return_inverse=True)
            self.pretrained[key] = self.fit(source, wide, len(known), 0)[0]
        net = self.pretrained[key]
        said[:, present] = linear_on(self.embed(net, train), label, self.embed(net, test))
        return said

    def fit(
        self, rows: np.ndarray, label: np.ndarray, classes: int, seed: int, *, test: np.ndarray | None = None
    ) -> tuple[Baseline, np.ndarray]:
        """The network trained on `rows` with their `label` (n,) in 0..classes-1, and its answers (m, classes) to
        `test`.
        """
        torch.manual_seed(seed)
        net, to_learn = self.build(classes), torch.from_numpy(label)
        domain = torch.from_numpy(np.unique(self.task.data.dataset, return_inverse=True)[1])
        optimizer = torch.optim.AdamW(net.parameters(), self.training.rate, weight_decay=self.training.weight_decay)
        best = -1.0, np.empty((0, classes))
        for epoch in range(self.training.epochs):
            net.train()
            for some in torch.randperm(len(rows)).split(self.training.batch):
                if len(some) < 2:  # batch norm needs two
                    continue
                which = torch.from_numpy(rows)[some]
                embedding, logits = net(self.inputs[which])
                loss = net.loss(embedding, logits, to_learn[some], domain[which])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if test is not None and (self.best_epoch or epoch == self.training.epochs - 1):
                said = self.answer(net, test)
                right = self.score_of(said, rows, label, test)
                best = max(best, (right, said), key=lambda pair: pair[0]) if self.best_epoch else (right, said)
        return net, best[1]

    def score_of(self, said: np.ndarray, rows: np.ndarray, label: np.ndarray, test: np.ndarray) -> float:
        meaning = {int(label[i]): self.task.label[rows[i]] for i in range(len(rows))}
        answers = np.array([meaning[c] for c in said.argmax(1)])
        return class_scores(self.task.label[test], answers, len(self.task.classes))["uf1"]

    def answer(self, net: Baseline, rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = net.eval()(self.inputs[torch.from_numpy(rows)])[1]
        return logits.softmax(1).numpy()

    def embed(self, net: Baseline, rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(net.eval()(self.inputs[torch.from_numpy(rows)])[0].numpy())


def linear_on(shown: np.ndarray, label: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Probabilities (m, C) for embeddings `asked` (m, d) by a linear head fit on `shown` (n, d) and `label` (n,)."""
    classes = [str(c) for c in range(label.max() + 1)]
    if len(classes) == 1:
        return np.ones((len(asked), 1))
    return heads.softmax(heads.Linear.fit(shown, label, classes).logits(asked))
