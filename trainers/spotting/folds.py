"""Cross-validation that leaves out a motion model and a third of the identities at once."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from merau.stream.spotter import CandidateInput
from merau.trainers.spotting.record import Recording, join

IDENTITY_GROUPS = 3
# Inputs, labels and weights of candidates to logits of other candidates.
Learned = Callable[[CandidateInput], np.ndarray]
Learner = Callable[[CandidateInput, np.ndarray, np.ndarray], Learned]


def folds(recordings: Sequence[Recording]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the indices of training and test recordings of each fold.

    A test recording shares neither its motion model nor its identity with any training recording.
    """
    identities = sorted({recording.identity for recording in recordings})
    group = {identity: i % IDENTITY_GROUPS for i, identity in enumerate(identities)}
    for model in sorted({recording.motion_model for recording in recordings}):
        for part in range(IDENTITY_GROUPS):
            test = [i for i, r in enumerate(recordings) if r.motion_model == model and group[r.identity] == part]
            train = [i for i, r in enumerate(recordings) if r.motion_model != model and group[r.identity] != part]
            if test and train:
                yield train, test


def cross_validate(recordings: Sequence[Recording], learn: Learner) -> list[np.ndarray]:
    """Return what `learn` says of the candidates of each recording when it was left out."""
    said: list[np.ndarray] = [np.zeros((0, 0))] * len(recordings)
    for train, test in folds(recordings):
        learned = learn(*training_data([recordings[i] for i in train]))
        for i in test:
            said[i] = learned(recordings[i].inputs)
    return said


def training_data(recordings: Sequence[Recording]) -> tuple[CandidateInput, np.ndarray, np.ndarray]:
    """Return candidates, labels and weights.

    Of the reports of one candidate at one stage, which are much alike, the first and the last are taken; together they
    weigh one.
    """
    inputs, labels, weights = [], [], []
    for recording in recordings:
        rows: dict[tuple[int, str], list[int]] = {}
        for i, (_, decision) in enumerate(recording.steps):
            rows.setdefault((decision.candidate, decision.stage), []).append(i)
        ends = [sorted({same[0], same[-1]}) for same in rows.values()]
        chosen = [i for same in ends for i in same]
        inputs.append(recording.inputs.take(chosen))
        labels.append(recording.labels[chosen])
        weights += [1 / len(same) for same in ends for _ in same]
    return join(inputs), np.concatenate(labels), np.array(weights, np.float32)
