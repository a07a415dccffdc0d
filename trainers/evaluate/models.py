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
from merau.trainers.evaluate.predict import Predictions, apex_images
from merau.trainers.evaluate.protocols import Model, NeedsSamples
from merau.trainers.evaluate.task import Task
from merau.trainers.export.bundle import load_model, trunk_inputs
from merau.trainers.learn.fusion import fuse
from merau.trainers.learn.settings import FusionSettings
from merau.trainers.models.merau import Merau as MerauNet
from merau.trainers.models.merau import reset_classifier

# Table 2, column Fine-tune. The shots' Action Units are not known; epochs are ours.
FINE_TUNE = FusionSettings(
    encoder_rate=1e-5, projection_rate=1e-3, classifier_rate=2e-3, epochs=60, batch=32, au_weight=0, apex_dropout=0
)


@dataclass(frozen=True)
class FewShotMerau:
    """The shipped way: a head taught on the samples, times what the bundle knows (`engine.few_shot`).

    `weights` notes how much each lesson's samples counted: 0 where the answers are the bundle's own, as in zero-shot.
    """

    task: Task
    recognizer: Recognizer
    predictions: Predictions
    weights: list[float] = field(default_factory=list)

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        if not len(train):
            return self.known(test)
        names = np.array(self.task.classes)
        seen = self.predictions.samples(names[self.task.label].tolist())
        lesson = fit_few_shot([seen[i] for i in train], self.recognizer.bundle)
        self.weights.append(1.0 if lesson.weight is None else lesson.weight)
        said = np.zeros((len(test), len(names)))
        for row, i in enumerate(test):
            for name, p in lesson.probabilities(seen[i]).items():
                said[row, self.task.classes.index(name)] = p
        return said

    def known(self, test: np.ndarray) -> np.ndarray:
        if self.task.classes == CLASSES:
            return self.predictions.classes[test]
        seen = self.predictions.samples([""] * len(self.task))
        return prior_probabilities([seen[i] for i in test], self.task.classes)


@dataclass(frozen=True)
class EmbeddingHead:
    """MERAU as published: a head of `kind` on the embedding alone, eq. 5, 6 or 9; nothing is known without samples."""

    task: Task
    predictions: Predictions
    kind: str

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        return head_on(self.predictions.embedding, self.task, self.kind, train, test)


def head_on(embedding: np.ndarray, task: Task, kind: str, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Probabilities (m, C) of a head fit on the rows `train` of `embedding` (N, d)."""
    if not len(train):
        raise NeedsSamples("This recognizer knows nothing without samples.")
    present, labels = np.unique(task.label[train], return_inverse=True)
    said = np.zeros((len(test), len(task.classes)))
    if len(present) == 1:
        said[:, present] = 1
        return said
    head = heads.KINDS[kind].fit(embedding[train], labels, [task.classes[c] for c in present])
    said[:, present] = heads.softmax(head.logits(embedding[test]))
    return said


@dataclass(frozen=True)
class FineTuned:
    """MERAU as published (section 4.3): the layers of `model` and a new classifier learn from the samples shown, at the
    rates of table 2. `inputs` are those of its trunk for every sample of the problem, in PyTorch's tensors.
    """

    task: Task
    model: MerauNet
    inputs: dict[str, Tensor]
    classifier: str

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        if not len(train):
            raise NeedsSamples("What is fine-tuned knows nothing without samples.")
        present, label = np.unique(self.task.label[train], return_inverse=True)
        said = np.zeros((len(test), len(self.task.classes)))
        torch.manual_seed(seed)
        model = deepcopy(self.model)
        reset_classifier(model, self.classifier, len(present))
        nothing = np.zeros(len(train))
        shown = Flows(
            self.task.flow[train], label, np.full((len(train), len(AUS)), np.nan, np.float32), nothing, nothing > 0
        )
        apex = self.inputs["apex"][train] if "apex" in self.inputs else None
        fuse(model, shown, apex, replace(FINE_TUNE, classifier=self.classifier), seed=seed)
        with torch.no_grad():
            e, _ = model(*(part[test] for part in self.inputs.values()))
            said[:, present] = model.classify(e).softmax(1).numpy()
        return said


def make_fine_tuned(task: Task, weights: Path, classifier: str) -> FineTuned:
    """Raises UserError where `weights`, a bundle's folder, holds none."""
    model = load_model(weights)
    inputs = trunk_inputs(model.apex_px, task.flow, apex_images(task.data, model.apex_px), known=False)
    return FineTuned(task, model, {name: torch.from_numpy(part) for name, part in inputs.items()}, classifier)


TUNED = {"merau-tuned": "linear", "merau-cd-tuned": "cosine"}
HEADS = {"merau-linear": "linear", "merau-cd": "cosine", "protonet": "prototypes"}
BASELINES: dict[str, Callable[[Task], Model]] = {"logistic": logistic.Logistic, "lbp-top": lbp_top.LbpTop}
NETWORKS: dict[str, Callable[..., Model]] = {
    "liu": liu.make_model,
    "vgg": vgg.make_model,
    "capsule": capsule.make_model,
}
