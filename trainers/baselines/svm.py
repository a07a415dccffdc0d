"""A linear SVM on features that were computed once: the classifier of the hand-crafted methods."""

from dataclasses import dataclass

import numpy as np
from sklearn.svm import SVC

from merau.engine.heads import softmax
from merau.trainers.evaluate.protocols import NeedsSamples
from merau.trainers.evaluate.task import Task


@dataclass(frozen=True)
class FeatureSvm:
    """It is a `protocols.Model`. Classes are weighted alike.

    Attributes:
        task: The task.
        features: (N, d), one row for each sample.
        name: Name of the features, for people.
        strength: Inverse of the SVM's penalty.
    """

    task: Task
    features: np.ndarray
    name: str
    strength: float = 1.0

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        """See `protocols.Model`."""
        if not len(train):
            raise NeedsSamples(f"{self.name} + SVM must be trained on samples first.")
        probabilities = np.zeros((len(test), len(self.task.classes)))
        present, label = np.unique(self.task.label[train], return_inverse=True)
        if len(present) == 1:
            probabilities[:, present] = 1
            return probabilities
        model = SVC(C=self.strength, kernel="linear", class_weight="balanced", decision_function_shape="ovr")
        margin = model.fit(self.features[train], label).decision_function(self.features[test])
        probabilities[:, present] = softmax(margin if margin.ndim == 2 else np.stack([-margin, margin], 1))
        return probabilities


def hellinger(histograms: np.ndarray) -> np.ndarray:
    """Return histograms (N, ..., bins) as features (N, d): roots of the shares, which is Hellinger's kernel."""
    shares = histograms / np.maximum(histograms.sum(-1, keepdims=True), 1e-9)
    return np.asarray(np.sqrt(shares).reshape(len(histograms), -1))
