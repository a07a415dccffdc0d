"""Tasks that recognizers are compared on.

A task is the samples of a flow set that show one of its classes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

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


def is_task_file(task: str) -> bool:
    """Return whether `task` names a YAML file of the user's own."""
    return task.lower().endswith((".yaml", ".yml"))


def read_classes(task: str) -> dict[str, tuple[str, ...]]:
    """Return the emotions of each class of `task`, a name in TASKS or a YAML file.

    The file holds `classes`, for each class its emotions as the column `emotion` names them:

        classes:
          tense: [tense, anxious]
          relaxed: [neutral, content]

    Raises:
        UserError: The file cannot be read, or an emotion is in two classes.
    """
    if not is_task_file(task):
        return {name: (name,) for name in TASKS[task]}
    try:
        content = yaml.safe_load(Path(task).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"The task {task} cannot be read: {' '.join(str(error).split())}.") from error
    classes = content.get("classes") if isinstance(content, dict) else None
    if (
        not isinstance(classes, dict)
        or len(classes) < 2
        or not all(isinstance(v, list) and v for v in classes.values())
    ):
        raise UserError(f"The task {task} needs `classes`, two or more, each with a list of emotions.")
    found = {str(name): tuple(emotion(str(one)) for one in emotions) for name, emotions in classes.items()}
    every = [one for emotions in found.values() for one in emotions]
    twice = sorted({one for one in every if every.count(one) > 1})
    if twice:
        raise UserError(f"The task {task} has {', '.join(twice)} in two classes.")
    return found


def task_labels(data: FlowSet, task: str) -> np.ndarray:
    """Return (N,) index into the classes of `task`, or UNLABELLED."""
    if TASKS.get(task) == CLASSES:
        return data.label
    index = {one: i for i, emotions in enumerate(read_classes(task).values()) for one in emotions}
    return np.array([index.get(emotion(name), UNLABELLED) for name in data.emotion], int)


def make_task(data: FlowSet, task: str = "cde") -> Task:
    """Return the samples of `data` that belong to `task`.

    The classes of "cde" are the labels 0, 1, 2; those of other tasks are in the column `emotion`.

    Raises:
        UserError: Fewer than two classes occur.
    """
    classes, label = tuple(read_classes(task)), task_labels(data, task)
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
