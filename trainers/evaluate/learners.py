"""Recognizers as the protocols ask for them: MERAU from a bundle with each of its heads, and the baselines."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine import heads
from engine.recognizer import Recognizer
from engine.teach import prior, teach
from trainers.baselines import capsule, lbp_top, liu, logistic, vgg
from trainers.data.flow_set import CLASSES
from trainers.evaluate.answers import Answers
from trainers.evaluate.problem import Problem
from trainers.evaluate.protocols import Learner, NeedsSamples


@dataclass(frozen=True)
class Merau:
    """The shipped way: a head taught on the samples, times what the bundle knows (`engine.teach`)."""

    problem: Problem
    recognizer: Recognizer
    answers: Answers

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        if not len(train):
            return self.known(test)
        names = np.array(self.problem.classes)
        seen = self.answers.samples(names[self.problem.label].tolist())
        lesson = teach([seen[i] for i in train], self.recognizer)
        said = np.zeros((len(test), len(names)))
        for row, i in enumerate(test):
            for name, p in lesson.probabilities(seen[i]).items():
                said[row, self.problem.classes.index(name)] = p
        return said

    def known(self, test: np.ndarray) -> np.ndarray:
        if self.problem.classes == CLASSES:
            return self.answers.classes[test]
        seen = self.answers.samples([""] * len(self.problem))
        return prior([seen[i] for i in test], self.problem.classes)


@dataclass(frozen=True)
class Embedded:
    """MERAU as published: a head of `kind` on the embedding alone, eq. 5, 6 or 9; nothing is known without samples."""

    problem: Problem
    answers: Answers
    kind: str

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        return head_on(self.answers.embedding, self.problem, self.kind, train, test)


def head_on(embedding: np.ndarray, problem: Problem, kind: str, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Probabilities (m, C) of a head fit on the rows `train` of `embedding` (N, d)."""
    if not len(train):
        raise NeedsSamples("This recognizer knows nothing without samples.")
    present, labels = np.unique(problem.label[train], return_inverse=True)
    said = np.zeros((len(test), len(problem.classes)))
    if len(present) == 1:
        said[:, present] = 1
        return said
    head = heads.KINDS[kind].fit(embedding[train], labels, [problem.classes[c] for c in present])
    said[:, present] = heads.softmax(head.logits(embedding[test]))
    return said


HEADS = {"merau-linear": "linear", "merau-cd": "cosine", "protonet": "prototypes"}
BASELINES: dict[str, Callable[[Problem], Learner]] = {"logistic": logistic.Logistic, "lbp-top": lbp_top.LbpTop}
NETWORKS: dict[str, Callable[..., Learner]] = {"liu": liu.learner, "vgg": vgg.learner, "capsule": capsule.learner}
