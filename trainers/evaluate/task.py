"""Tasks that recognizers are compared on.

A task is the samples of a flow set that show one of its classes.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import yaml

from merau.engine.errors import UserError
from merau.trainers.data.emotions import emotion
from merau.trainers.data.flow_set import CLASSES, UNLABELLED, FlowSet, read_flows
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.set_fields import SetSettings, draw_images

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


def with_synthetic(task: Task, samples: int, seed: int) -> Task:
    """Return `task` with drawn samples of its classes after its own.

    They have flow images and coded Action Units, no frames, and are of the data set "synthetic".

    Raises:
        UserError: The task's classes are not negative, positive and surprise.
    """
    if task.classes != CLASSES:
        raise UserError("Synthetic samples are drawn for the task cde only: negative, positive and surprise.")
    image, label, present = draw_images(seed, samples, replace(SetSettings(), free=0))
    codes = ["+".join(str(au) for au, is_shown in zip(AUS, row, strict=True) if is_shown) for row in present]
    names = np.array([f"synthetic{i // SetSettings().samples_per_face}" for i in range(samples)])
    empty = np.full(samples, "")
    drawn = FlowSet(
        np.full(samples, "synthetic"), names, np.arange(samples).astype(str), label, image, np.array(CLASSES)[label],
        np.array(codes), empty, empty, np.full(samples, np.nan),
    )  # fmt: skip
    both = FlowSet(*(np.concatenate([getattr(task.data, f.name), getattr(drawn, f.name)]) for f in fields(FlowSet)))
    flow = np.concatenate([task.flow, read_flows(drawn)])
    return Task(both, np.concatenate([task.label, label]), task.classes, flow, task.other)


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
