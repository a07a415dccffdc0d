"""Recognizers as the protocols ask for them: MERAU from a bundle with each of its heads, and the baselines."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from merau.engine import heads
from merau.engine.few_shot import fit_few_shot, prior_probabilities
from merau.engine.recognizer import Recognizer
from merau.trainers.baselines import capsule, lbp_top, liu, logistic, vgg
from merau.trainers.data.flow_set import CLASSES
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import Flows
from merau.trainers.evaluate.predict import Answers, apexes
from merau.trainers.evaluate.protocols import Learner, NeedsSamples
from merau.trainers.evaluate.task import Problem
from merau.trainers.export.bundle import load_model, trunk_inputs
from merau.trainers.learn.fusion import fuse
from merau.trainers.learn.settings import FusionSettings
from merau.trainers.models.merau import Merau as Model
from merau.trainers.models.merau import begin_anew

# Table 2, column Fine-tune. The shots' Action Units are not known; epochs are ours.
FINE_TUNE = FusionSettings(
    encoder_rate=1e-5, projection_rate=1e-3, classifier_rate=2e-3, epochs=60, batch=32, au_weight=0, apex_dropout=0
)


@dataclass(frozen=True)
class Merau:
    """The shipped way: a head taught on the samples, times what the bundle knows (`engine.teach`).

    `weights` notes how much each lesson's samples counted: 0 where the answers are the bundle's own, as in zero-shot.
    """

    problem: Problem
    recognizer: Recognizer
    answers: Answers
    weights: list[float] = field(default_factory=list)

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        if not len(train):
            return self.known(test)
        names = np.array(self.problem.classes)
        seen = self.answers.samples(names[self.problem.label].tolist())
        lesson = fit_few_shot([seen[i] for i in train], self.recognizer.bundle)
        self.weights.append(1.0 if lesson.weight is None else lesson.weight)
        said = np.zeros((len(test), len(names)))
        for row, i in enumerate(test):
            for name, p in lesson.probabilities(seen[i]).items():
                said[row, self.problem.classes.index(name)] = p
        return said

    def known(self, test: np.ndarray) -> np.ndarray:
        if self.problem.classes == CLASSES:
            return self.answers.classes[test]
        seen = self.answers.samples([""] * len(self.problem))
        return prior_probabilities([seen[i] for i in test], self.problem.classes)


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


@dataclass(frozen=True)
class Tuned:
    """MERAU as published (section 4.3): the layers of `model` and a new classifier learn from the samples shown, at the
    rates of table 2. `inputs` are those of its trunk for every sample of the problem, in PyTorch's tensors.
    """

    problem: Problem
    model: Model
    inputs: dict[str, Tensor]
    classifier: str

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        if not len(train):
            raise NeedsSamples("What is fine-tuned knows nothing without samples.")
        present, label = np.unique(self.problem.label[train], return_inverse=True)
        said = np.zeros((len(test), len(self.problem.classes)))
        torch.manual_seed(seed)
        model = deepcopy(self.model)
        begin_anew(model, self.classifier, len(present))
        nothing = np.zeros(len(train))
        shown = Flows(
            self.problem.flow[train], label, np.full((len(train), len(AUS)), np.nan, np.float32), nothing, nothing > 0
        )
        apex = self.inputs["apex"][train] if "apex" in self.inputs else None
        fuse(model, shown, apex, replace(FINE_TUNE, classifier=self.classifier), seed=seed)
        with torch.no_grad():
            e, _ = model(*(part[test] for part in self.inputs.values()))
            said[:, present] = model.classify(e).softmax(1).numpy()
        return said


def tuned(problem: Problem, weights: Path, classifier: str) -> Tuned:
    """Raises UserError where `weights`, a bundle's folder, holds none."""
    model = load_model(weights)
    inputs = trunk_inputs(model.apex_px, problem.flow, apexes(problem.data, model.apex_px), known=False)
    return Tuned(problem, model, {name: torch.from_numpy(part) for name, part in inputs.items()}, classifier)


TUNED = {"merau-tuned": "linear", "merau-cd-tuned": "cosine"}
HEADS = {"merau-linear": "linear", "merau-cd": "cosine", "protonet": "prototypes"}
BASELINES: dict[str, Callable[[Problem], Learner]] = {"logistic": logistic.Logistic, "lbp-top": lbp_top.LbpTop}
NETWORKS: dict[str, Callable[..., Learner]] = {"liu": liu.learner, "vgg": vgg.learner, "capsule": capsule.learner}
