"""Who is trained on and who is tested: every way of splitting that papers use, without ever choosing by the test.

A learner gets rows to learn from and rows to answer, and gives probabilities over the problem's classes. A trial holds
the pooled answers of one complete pass: MEGC2019 pools the answers of all folds before it scores (See et al. 2019).
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
    """Learns from `train` (n,) and answers `test` (m,), rows of the problem: probabilities (m, C).

    `source` (s,) are rows of other databases that may be learned from first; their classes may be others.
    """

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray: ...


@dataclass(frozen=True)
class Trial:
    """The answers `probabilities` (m, C) to the rows `rows` (m,) of a problem."""

    rows: np.ndarray
    probabilities: np.ndarray


def by_person(task: Task, seed: int) -> Iterator[np.ndarray]:
    """Leave one subject out. On MEGC2019's composite set this is its CDE protocol."""
    for person in np.unique(task.data.person):
        yield np.flatnonzero(task.data.person == person)


def by_database(task: Task, seed: int) -> Iterator[np.ndarray]:
    """Leave one database out. Raises UserError where there is but one."""
    databases = task.rows_by_database()
    if len(databases) < 2:
        raise UserError(f"Leaving one database out needs two; all samples are of {next(iter(databases))}.")
    yield from databases.values()


def by_sample(task: Task, seed: int) -> Iterator[np.ndarray]:
    """Leave one video out: the person tested is trained on, as in older papers."""
    yield from np.arange(len(task))[:, None]


def by_tenth(task: Task, seed: int, *, folds: int = 10) -> Iterator[np.ndarray]:
    """Ten folds of equal class shares: the person tested is trained on, as in older papers."""
    fold = np.empty(len(task), int)
    rng, taken = np.random.default_rng(seed), 0
    for c in np.unique(task.label):
        rows = rng.permutation(np.flatnonzero(task.label == c))
        fold[rows] = (np.arange(len(rows)) + taken) % folds
        taken += len(rows)
    for i in range(min(folds, len(task))):
        yield np.flatnonzero(fold == i)


SPLITS: dict[str, Callable[[Task, int], Iterator[np.ndarray]]] = {
    "loso": by_person,
    "lodo": by_database,
    "lovo": by_sample,
    "k-fold": by_tenth,
}


def cross_validate(task: Task, model: Model, split: str, seed: int, *, processes: int = 1) -> Trial:
    """Every fold tested once by a learner that was trained on the others, so many `processes` at once: to the same
    numbers, but what a learner notes in itself is then lost. UserError where nothing is left to train.
    """
    folds = list(SPLITS[split](task, seed))
    if len(folds) < 2:
        raise UserError("All samples are of one subject: leave-one-subject-out needs two.")
    probabilities = np.empty((len(task), len(task.classes)))
    rest = (np.setdiff1d(np.arange(len(task)), test) for test in folds)
    with parallel_config("loky", n_jobs=processes, inner_max_num_threads=1):  # the number of threads shows in sums
        said = Parallel(return_as="generator")(
            delayed(model)(train, test, seed=seed) for train, test in zip(rest, folds, strict=True)
        )
    bar = tqdm(said, desc=split, unit="fold", total=len(folds), leave=False, disable=None)
    for test, probability in zip(folds, bar, strict=True):
        probabilities[test] = probability
    return Trial(np.arange(len(task)), probabilities)


def zero_shot(task: Task, model: Model) -> Trial:
    """Nothing learned from the set."""
    rows = np.arange(len(task))
    return Trial(rows, model(rows[:0], rows, seed=0))


@dataclass(frozen=True)
class Episode:
    """One draw in one database: what is shown, `support` and asked, `query`, row indices."""

    support: np.ndarray
    query: np.ndarray
    source: np.ndarray


def episodes(task: Task, shots: int, seed: int) -> list[Episode]:
    """N-way-K-shot as in MERAU (section 5.1): in each database `shots` samples of each class are drawn, the rest of it
    is asked; the other databases are the source.

    A class of which a database has no more than `shots` is not asked there. UserError where that leaves nothing.
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
    """One draw, all databases pooled: what `model` answers after `shots`, and what it answers without any.

    The second is of the same queries and classes; it is empty for a learner that cannot answer without samples.
    """
    rows, after, before = [], [], []
    for episode in episodes(task, shots, seed):
        asked = np.isin(np.arange(len(task.classes)), task.label[episode.support])
        rows.append(episode.query)
        after.append(
            restrict_to_classes(model(episode.support, episode.query, seed=seed, source=episode.source), asked)
        )
        try:
            before.append(restrict_to_classes(model(episode.support[:0], episode.query, seed=seed), asked))
        except NeedsSamples:
            continue
    every = np.concatenate(rows)
    nothing = Trial(every[:0], np.empty((0, len(task.classes))))
    return Trial(every, np.concatenate(after)), Trial(every, np.concatenate(before)) if before else nothing


class NeedsSamples(UserError):
    """A learner that knows nothing by itself was asked without samples."""


def restrict_to_classes(probabilities: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """`probabilities` (m, C) with the classes that are not `asked` (C,) left out."""
    kept = np.where(asked, probabilities + 1e-12, 0)
    return kept / kept.sum(1, keepdims=True)
