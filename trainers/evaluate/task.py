"""Tasks that recognizers are compared on.

A task is the samples of a flow set that show one of its classes.
"""

from dataclasses import dataclass

import numpy as np

from merau.engine.errors import UserError
from merau.trainers.data.emotions import emotion
from merau.trainers.data.flow_set import CLASSES, UNLABELLED, FlowSet, read_flows

# The tasks of MERAU (Dai & Feng 2021, section 5.1) on CASME, and MEGC2019's three classes. Its 3-way task on SMIC is
# "cde".
TASKS = {
    "cde": CLASSES,
    "4-way": ("disgust", "repression", "surprise", "tense"),
    "easy": ("disgust", "surprise"),
    "hard": ("repression", "tense"),
    "5-class": ("disgust", "happiness", "others", "repression", "surprise"),
}


@dataclass(frozen=True)
class Task:
    """N samples and their classes.

    Attributes:
        data: The samples.
        label: (N,) index into `classes`.
        classes: Names of the classes.
        flow: (N, 2, 32, 32) float32 as the trunk sees it.
        other: The samples of the flow set that show another class, or none that is known.
    """

    data: FlowSet
    label: np.ndarray
    classes: tuple[str, ...]
    flow: np.ndarray
    other: FlowSet

    def __len__(self) -> int:
        return len(self.label)

    def rows_by_database(self) -> dict[str, np.ndarray]:
        """Return the indices (n,) of each data set's samples."""
        return {str(name): np.flatnonzero(self.data.dataset == name) for name in np.unique(self.data.dataset)}


def task_labels(data: FlowSet, task: str) -> np.ndarray:
    """Return (N,) index into TASKS[task], or UNLABELLED."""
    classes = TASKS[task]
    if classes == CLASSES:
        return data.label
    names = [emotion(name) for name in data.emotion]
    return np.array([classes.index(name) if name in classes else UNLABELLED for name in names])


def make_task(data: FlowSet, task: str = "cde") -> Task:
    """Return the samples of `data` that belong to `task`.

    The classes of "cde" are the labels 0, 1, 2; those of other tasks are in the column `emotion`.

    Raises:
        UserError: Fewer than two classes occur.
    """
    classes, label = TASKS[task], task_labels(data, task)
    belongs = label != UNLABELLED
    found = len(np.unique(label[belongs]))
    if found < 2:
        column = "label" if classes == CLASSES else "emotion"
        raise UserError(
            f"Task {task} needs samples of at least two of {', '.join(classes)}; "
            f"the column {column} of this flow set names {found} of them."
        )
    kept = data.take(belongs)
    return Task(kept, label[belongs], classes, read_flows(kept), data.take(~belongs))
