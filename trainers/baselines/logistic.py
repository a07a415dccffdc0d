"""Logistic regression on the raw flow: what any network must beat."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from merau.trainers.evaluate.protocols import NeedsSamples
from merau.trainers.evaluate.task import Task

CELLS = 16  # a side: halves the 32 x 32 grid
STRENGTH = 0.003  # inverse of the L2 penalty, on flow of unit spread


class Logistic:
    """Multinomial, classes weighted alike, on u and v of 16 x 16 cells; each sample is also shown mirrored."""

    def __init__(self, task: Task) -> None:
        self.task = task
        mirrored = task.flow[..., ::-1] * np.array([-1, 1], np.float32)[:, None, None]
        self.features, self.mirrored = (shrunk(flow) for flow in (task.flow, mirrored))

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        if not len(train):
            raise NeedsSamples("Logistic regression knows nothing without samples.")
        label = self.task.label[train]
        said = np.zeros((len(test), len(self.task.classes)))
        if len(np.unique(label)) == 1:
            said[:, label[0]] = 1
            return said
        model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=200)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(np.concatenate([self.features[train], self.mirrored[train]]), np.tile(label, 2))
        said[:, model.classes_] = model.predict_proba(self.features[test])
        return said


def shrunk(flow: np.ndarray) -> np.ndarray:
    """Flow (N, 2, 32, 32) as (N, 512) means of 2 x 2 cells."""
    size = flow.shape[-1] // CELLS
    return flow.reshape(len(flow), 2, CELLS, size, CELLS, size).mean((3, 5)).reshape(len(flow), -1)
