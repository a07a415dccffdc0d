"""What recognizers are compared on: the samples of a flow set that show one of the classes asked for."""

from dataclasses import dataclass

import numpy as np

from merau.engine.errors import UserError
from merau.trainers.data.emotions import emotion
from merau.trainers.data.flow_set import CLASSES, UNLABELLED, FlowSet, read_flows

# The tasks of MERAU (section 5.1) on CASME, beside MEGC2019's three classes. SMIC's 3-way is "cde" on SMIC.
TASKS = {
    "cde": CLASSES,
    "4-way": ("disgust", "repression", "surprise", "tense"),
    "easy": ("disgust", "surprise"),
    "hard": ("repression", "tense"),
    "5-class": ("disgust", "happiness", "others", "repression", "surprise"),
}


@dataclass(frozen=True)
class Task:
    """N samples `data` with `label` (N,) index into `classes`, and `flow` (N, 2, 32, 32) float32 as the trunk sees it.

    `other` are the samples of the flow set that show another class or none that is known.
    """

    data: FlowSet
    label: np.ndarray
    classes: tuple[str, ...]
    flow: np.ndarray
    other: FlowSet

    def __len__(self) -> int:
        return len(self.label)

    def rows_by_database(self) -> dict[str, np.ndarray]:
        """The indices (n,) of each data set's samples."""
        return {str(name): np.flatnonzero(self.data.dataset == name) for name in np.unique(self.data.dataset)}


def labels(data: FlowSet, task: str) -> np.ndarray:
    """(N,) index into TASKS[task], or UNLABELLED."""
    classes = TASKS[task]
    if classes == CLASSES:
        return data.label
    named = [emotion(name) for name in data.emotion]
    return np.array([classes.index(name) if name in classes else UNLABELLED for name in named])


def make_task(data: FlowSet, task: str = "cde") -> Task:
    """The samples of `data` that belong to `task`. Raises UserError where there are fewer than two classes of them.

    The classes of "cde" are the labels 0, 1, 2; those of other tasks stand in the column `emotion`.
    """
    classes, label = TASKS[task], labels(data, task)
    belongs = label != UNLABELLED
    if len(np.unique(label[belongs])) < 2:
        column = "label" if classes == CLASSES else "emotion"
        raise UserError(
            f"Task {task} needs samples of at least two of {', '.join(classes)}; "
            f"the column {column} of this flow set names {len(np.unique(label[belongs]))} of them."
        )
    kept = data.take(belongs)
    return Task(kept, label[belongs], classes, read_flows(kept), data.take(~belongs))
