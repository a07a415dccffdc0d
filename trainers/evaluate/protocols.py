"""Protocols: who is trained on and who is tested, in the ways that papers use.

The test data never select anything.

A model gets rows to learn from and rows to predict, and returns probabilities over the task's classes. A trial holds
the pooled predictions of one complete pass: MEGC2019 pools all folds before it scores (See et al., MEGC 2019: The
Second Facial Micro-Expressions Grand Challenge, FG 2019).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from merau.engine.errors import UserError
from merau.trainers.evaluate.task import Task


class Model(Protocol):
    """A recognizer that can be trained on rows of a task."""

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        """Learn from the rows `train` (n,) and return probabilities (m, C) for the rows `test` (m,).

        `source` (s,) are rows of other databases to pre-train on; their classes may differ.
        """
        ...


@dataclass(frozen=True)
class Trial:
    """The predictions `probabilities` (m, C) for the rows `rows` (m,) of a task."""

    rows: np.ndarray
    probabilities: np.ndarray


def by_person(task: Task, seed: int) -> Iterator[np.ndarray]:
    """Leave one subject out. On MEGC2019's composite set this is its CDE protocol."""
    for person in np.unique(task.data.person):
        yield np.flatnonzero(task.data.person == person)


def by_database(task: Task, seed: int) -> Iterator[np.ndarray]:
    """Leave one database out. Raises UserError where there is only one."""
    databases = task.rows_by_database()
    if len(databases) < 2:
        raise UserError(f"Leaving one database out needs two; all samples are of {next(iter(databases))}.")
    yield from databases.values()


def by_sample(task: Task, seed: int) -> Iterator[np.ndarray]:
    """Leave one video out: the subject tested is also trained on, as in older papers."""
    yield from np.arange(len(task))[:, None]


def by_tenth(task: Task, seed: int, *, folds: int = 10) -> Iterator[np.ndarray]:
    """Split into ten folds of equal class shares.

    The subject tested is also trained on, as in older papers.
    """
    fold = np.empty(len(task), int)
    rng, taken = np.random.default_rng(seed), 0
    for c in np.unique(task.label):
        rows = rng.permutation(np.flatnonzero(task.label == c))
        fold[rows] = (np.arange(len(rows)) + taken) % folds
        taken += len(rows)
    for i in range(min(folds, len(task))):
        yield np.flatnonzero(fold == i)


def by_two_fifths(task: Task, seed: int) -> Iterator[np.ndarray]:
    """Test two fifths of the subjects once, and train on the other three.

    Song et al. 2022 (attribute embedding) divide "3:2 by people"; `seed` draws who.
    """
    person = task.data.person
    people = np.random.default_rng(seed).permutation(np.unique(person))
    yield np.flatnonzero(np.isin(person, people[: round(0.4 * len(people))]))


SPLITS: dict[str, Callable[[Task, int], Iterator[np.ndarray]]] = {
    "loso": by_person,
    "lodo": by_database,
    "lovo": by_sample,
    "k-fold": by_tenth,
    "3-to-2": by_two_fifths,
}


def cross_validate(task: Task, model: Model, split: str, seed: int, *, processes: int = 1) -> Trial:
    """Test every fold once with `model` trained on the others.

    Several `processes` give the same numbers, but what the model records in itself is then lost.

    Raises:
        UserError: Nothing is left to train on.
    """
    folds = list(SPLITS[split](task, seed))
    tested = np.concatenate(folds)
    if max(map(len, folds)) in (0, len(task)):
        raise UserError("All samples are of one subject: this protocol trains on others than it tests.")
    rest = (np.setdiff1d(np.arange(len(task)), test) for test in folds)
    with parallel_config("loky", n_jobs=processes, inner_max_num_threads=1):  # the thread count changes sums
        predictions = Parallel(return_as="generator")(
            delayed(model)(train, test, seed=seed) for train, test in zip(rest, folds, strict=True)
        )
    bar = tqdm(predictions, desc=split, unit="fold", total=len(folds), leave=False, disable=None)
    probabilities, order = np.concatenate(list(bar)), np.argsort(tested)
    return Trial(tested[order], probabilities[order])


def zero_shot(task: Task, model: Model) -> Trial:
    """Test all samples with `model` trained on none of them."""
    rows = np.arange(len(task))
    return Trial(rows, model(rows[:0], rows, seed=0))


@dataclass(frozen=True)
class Episode:
    """One draw in one database, as row indices.

    `support` are the shots, `query` the test rows, `source` other databases.
    """

    support: np.ndarray
    query: np.ndarray
    source: np.ndarray


def draw_episodes(task: Task, shots: int, seed: int) -> list[Episode]:
    """Draw N-way-K-shot episodes as in MERAU (section 5.1), one for each database.

    `shots` samples of each class of the database are the support, the rest of it is the query; the other databases are
    the source. A class with no more than `shots` samples in a database is left out there.

    Raises:
        UserError: That leaves nothing.
    """
    rng, drawn = np.random.default_rng(seed), []
    for rows in task.rows_by_database().values():
        of_class = [rng.permutation(rows[task.label[rows] == c]) for c in range(len(task.classes))]
        enough = [members for members in of_class if len(members) > shots]
        if len(enough) < 2:
            continue
        support = np.concatenate([members[:shots] for members in enough])
        query = np.sort(np.concatenate([members[shots:] for members in enough]))
        drawn.append(Episode(support, query, np.setdiff1d(np.arange(len(task)), rows)))
    if not drawn:
        raise UserError(f"No database has more than {shots} samples of each of two classes: ask for fewer shots.")
    return drawn


def few_shot(task: Task, model: Model, *, shots: int, seed: int) -> tuple[Trial, Trial]:
    """Run one draw of few-shot, all databases pooled.

    Returns:
        The predictions after `shots`, and those without any for the same queries and classes; the second is empty for
        a model that cannot predict without samples.
    """
    rows, after, before = [], [], []
    for episode in draw_episodes(task, shots, seed):
        asked = np.isin(np.arange(len(task.classes)), task.label[episode.support])
        rows.append(episode.query)
        predicted = model(episode.support, episode.query, seed=seed, source=episode.source)
        after.append(restrict_to_classes(predicted, asked))
        try:
            before.append(restrict_to_classes(model(episode.support[:0], episode.query, seed=seed), asked))
        except NeedsSamples:
            continue
    every = np.concatenate(rows)
    nothing = Trial(every[:0], np.empty((0, len(task.classes))))
    return Trial(every, np.concatenate(after)), Trial(every, np.concatenate(before)) if before else nothing


class NeedsSamples(UserError):
    """A model that must be trained first was asked to predict without samples."""


def restrict_to_classes(probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return `probabilities` (m, C) with 0 outside `classes` (C,) bool.

    They are normalized again.
    """
    kept = np.where(classes, probabilities + 1e-12, 0)
    return np.asarray(kept / kept.sum(1, keepdims=True))
