"""Logistic regression on the raw flow: the baseline that any network must beat."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from merau.trainers.evaluate.protocols import NeedsSamples
from merau.trainers.evaluate.task import Task

CELLS = 16  # a side: half of the 32 x 32 grid
STRENGTH = 0.003  # inverse of the L2 penalty, on flow of unit spread


class Logistic:
    """Multinomial logistic regression on u and v of 16 x 16 cells.

    It is a `protocols.Model`. Classes are weighted alike.

    Each sample is also trained on mirrored.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        mirrored = task.flow[..., ::-1] * np.array([-1, 1], np.float32)[:, None, None]
        self.features, self.mirrored = (mean_cells(flow) for flow in (task.flow, mirrored))

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        """See `protocols.Model`."""
        if not len(train):
            raise NeedsSamples("Logistic regression must be trained on samples first.")
        label = self.task.label[train]
        probabilities = np.zeros((len(test), len(self.task.classes)))
        if len(np.unique(label)) == 1:
            probabilities[:, label[0]] = 1
            return probabilities
        model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=200)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(np.concatenate([self.features[train], self.mirrored[train]]), np.tile(label, 2))
        probabilities[:, model.classes_] = model.predict_proba(self.features[test])
        return probabilities


def mean_cells(flow: np.ndarray) -> np.ndarray:
    """Return flow (N, 2, 32, 32) as (N, 512) means of 2 x 2 cells."""
    size = flow.shape[-1] // CELLS
    means = flow.reshape(len(flow), 2, CELLS, size, CELLS, size).mean((3, 5))
    return np.asarray(means.reshape(len(flow), -1))
