"""Models as the protocols call them.

They are MERAU from a bundle with each of its heads, and the baselines.
"""

import importlib
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from merau.engine import heads
from merau.engine.errors import UserError
from merau.engine.few_shot import fit_few_shot, prior_probabilities
from merau.engine.recognizer import Recognizer
from merau.trainers.baselines import (
    apex_resnet,
    attribute,
    au_graph,
    capsule,
    cnn3d,
    dual_inception,
    frame_features,
    lbp_top,
    liu,
    logistic,
    ma2mi,
    off_apexnet,
    oriented_flow,
    rcn,
    ststnet,
    vgg,
)
from merau.trainers.baselines.meta import anil, lightmannet, maml, matchingnet, protonet, relationnet, reptile
from merau.trainers.baselines.meta.episodes import PUBLISHED, EpisodicModel, Learner, MetaSettings, moving_clips
from merau.trainers.baselines.network import Network
from merau.trainers.data.flow_set import CLASSES, FlowSet
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import Flows
from merau.trainers.evaluate.predict import Predictions, apex_images
from merau.trainers.evaluate.protocols import Model, NeedsSamples
from merau.trainers.evaluate.task import Task
from merau.trainers.export.bundle import load_model, trunk_inputs
from merau.trainers.learn.fusion import fuse
from merau.trainers.learn.settings import FusionSettings
from merau.trainers.models.merau import Merau, reset_classifier

# Table 2, column Fine-tune. The shots' Action Units are not known; the epochs are ours.
FINE_TUNE = FusionSettings(
    encoder_rate=1e-5, projection_rate=1e-3, classifier_rate=2e-3, epochs=60, batch=32, au_weight=0, apex_dropout=0
)


@dataclass(frozen=True)
class FewShotMerau:
    """MERAU as shipped: a few-shot head combined with the bundle's prior.

    See `engine.few_shot`.
    """

    task: Task
    recognizer: Recognizer
    predictions: Predictions

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        """See `protocols.Model`."""
        if not len(train):
            return self.prior(test)
        names = np.array(self.task.classes)
        samples = self.predictions.samples(names[self.task.label].tolist())
        head = fit_few_shot([samples[i] for i in train], self.recognizer.bundle)
        probabilities = np.zeros((len(test), len(names)))
        for row, i in enumerate(test):
            for name, p in head.probabilities(samples[i]).items():
                probabilities[row, self.task.classes.index(name)] = p
        return probabilities

    def prior(self, test: np.ndarray) -> np.ndarray:
        """Return what the bundle predicts without samples, (m, C)."""
        if self.task.classes == CLASSES:
            return np.asarray(self.predictions.classes[test])
        samples = self.predictions.samples([""] * len(self.task))
        return prior_probabilities([samples[i] for i in test], self.task.classes)


@dataclass(frozen=True)
class EmbeddingHead:
    """MERAU as published: a head of `kind` on the embedding alone.

    It is eq. 5, 6 or 9, without a prior.
    """

    task: Task
    predictions: Predictions
    kind: str

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        """See `protocols.Model`."""
        return predict_with_head(self.predictions.embedding, self.task, self.kind, train, test)


def predict_with_head(embedding: np.ndarray, task: Task, kind: str, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Fit a head of `kind` to the rows `train` of `embedding` (N, d).

    Return probabilities (m, C) for `test`.
    """
    if not len(train):
        raise NeedsSamples("This model must be trained on samples first.")
    present, labels = np.unique(task.label[train], return_inverse=True)
    probabilities = np.zeros((len(test), len(task.classes)))
    if len(present) == 1:
        probabilities[:, present] = 1
        return probabilities
    head = heads.KINDS[kind].fit(embedding[train], labels, [task.classes[c] for c in present])
    probabilities[:, present] = heads.softmax(head.logits(embedding[test]))
    return probabilities


@dataclass(frozen=True)
class FineTuned:
    """MERAU as published (section 4.3): fine-tuned.

    Its layers and a new classifier learn from the samples shown.

    The rates are those of table 2. `inputs` are the trunk's inputs for every sample of the task.
    """

    task: Task
    model: Merau
    inputs: dict[str, Tensor]
    classifier: str

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        """See `protocols.Model`."""
        if not len(train):
            raise NeedsSamples("A fine-tuned model must be trained on samples first.")
        present, label = np.unique(self.task.label[train], return_inverse=True)
        probabilities = np.zeros((len(test), len(self.task.classes)))
        torch.manual_seed(seed)
        model = deepcopy(self.model)
        reset_classifier(model, self.classifier, len(present))
        unknown_aus = np.full((len(train), len(AUS)), np.nan, np.float32)
        zeros = np.zeros(len(train))
        shots = Flows(self.task.flow[train], label, unknown_aus, zeros, zeros > 0)
        apex = self.inputs["apex"][train] if "apex" in self.inputs else None
        fuse(model, shots, apex, replace(FINE_TUNE, classifier=self.classifier), seed=seed)
        with torch.no_grad():
            e, _ = model(*(part[test] for part in self.inputs.values()))
            probabilities[:, present] = model.classify(e).softmax(1).numpy()
        return probabilities


def make_fine_tuned(task: Task, weights: Path, classifier: str) -> FineTuned:
    """Return a fine-tuned model that starts from the bundle's folder `weights`.

    Raises UserError where it holds no weights.
    """
    model = load_model(weights)
    inputs = trunk_inputs(model.apex_px, task.flow, apex_images(task.data, model.apex_px), known=False)
    return FineTuned(task, model, {name: torch.from_numpy(part) for name, part in inputs.items()}, classifier)


TUNED = {"merau-tuned": "linear", "merau-cd-tuned": "cosine"}
HEADS = {"merau-linear": "linear", "merau-cd": "cosine", "protonet": "prototypes"}
BASELINES: dict[str, Callable[[Task], Model]] = {
    "logistic": logistic.Logistic,
    "hoof": oriented_flow.make_hoof,
    "fhofo": oriented_flow.make_fhofo,
    "bi-woof": oriented_flow.make_bi_woof,
    "mdmo": oriented_flow.make_mdmo,
    "strain": oriented_flow.make_strain,
    "lbp-top": lbp_top.make_model,
    "lbp-sip": frame_features.make_lbp_sip,
    "hog-top": frame_features.make_hog_top,
    "higo-top": frame_features.make_higo_top,
    "dynamic-image": frame_features.make_dynamic_image,
}
NETWORKS: dict[str, Callable[..., Network]] = {
    "off-apexnet": off_apexnet.make_model,
    "ststnet": ststnet.make_model,
    "dual-inception": dual_inception.make_model,
    "rcn": rcn.make_model,
    "au-graph": au_graph.make_model,
    "liu": liu.make_model,
    "vgg": vgg.make_model,
    "capsule": capsule.make_model,
    "apex-resnet": apex_resnet.make_model,
    "cnn3d": cnn3d.make_model,
    **{name: partial(attribute.make_model, settings=settings) for name, settings in attribute.VARIANTS.items()},
}


META: dict[str, Callable[[int, MetaSettings], Learner]] = {
    "lightmannet": lightmannet.LightmanNet,
    "lightmannet-without-auxiliary": lightmannet.WithoutAuxiliary,
    "lightmannet-without-bi-level": lightmannet.WithoutBiLevel,
    "lightmannet-published": lightmannet.LightmanNet,
    "maml": maml.Maml,
    "anil": anil.Anil,
    "reptile": reptile.Reptile,
    "clip-protonet": protonet.ClipProtoNet,
    "relationnet": relationnet.RelationNet,
    "matchingnet": matchingnet.MatchingNet,
}
ALIGNING = ("lightmannet", "lightmannet-without-bi-level", "lightmannet-published")  # need macro-expressions


def make_learner(name: str, task: Task, macro: FlowSet | None) -> EpisodicModel:
    """Return the meta-learner `name` on the frames of `task`.

    Raises:
        UserError: The set has no frames, or macro-expressions to align with are missing.
    """
    if name in ALIGNING and macro is None:
        raise UserError(
            f"{name} aligns with macro-expressions: give a flow set of them with --macro, or run "
            "lightmannet-without-auxiliary."
        )
    clips = moving_clips(task.data, name)
    aligned = clips[:0] if macro is None else moving_clips(macro, name)
    settings = PUBLISHED if name == "lightmannet-published" else MetaSettings()
    return EpisodicModel(task, clips, aligned, META[name], settings)


FROM_MACRO: dict[str, Callable[[Task, FlowSet | None], Model]] = {  # may learn from macro-expressions as well
    **{name: partial(make_learner, name) for name in META},
    **{name: partial(ma2mi.make_model, name, settings) for name, settings in ma2mi.VARIANTS.items()},
}
# Settings that the leaderboard runs only where they are asked for: ablations, and sizes that need a GPU.
ON_REQUEST = tuple(name for name in (*attribute.VARIANTS, *FROM_MACRO) if "-" in name and name != "clip-protonet")


def is_own(name: str) -> bool:
    """Return whether `name` is a model of the user's own, MODULE:NAME."""
    return ":" in name


def load_own(name: str, task: Task) -> Model:
    """Return NAME(task) of the Python module in MODULE:NAME, a `protocols.Model`.

    The module is found as `python` finds it, or in the working folder.

    Raises:
        UserError: There is no such module or name, or it does not take a task.
    """
    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        made = getattr(importlib.import_module(module), attribute)(task)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"The model {name} cannot be loaded: {error}. Write MODULE:CLASS that takes a task.") from error
    if not callable(made):
        raise UserError(f"{name} made {type(made).__name__}, which cannot be called with rows to learn from.")
    model: Model = made
    return model
