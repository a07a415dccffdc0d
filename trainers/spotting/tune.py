"""Choose the probabilities from which kinds are reported, on candidates that were left out of training."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from merau.calib.probability import fit_temperature
from merau.stream.spotter import Thresholds
from merau.trainers.evaluate.spotting import ClipResult, score
from merau.trainers.spotting.record import Recording

PROBABILITIES = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
LEAVE = (0.5, 0.75, 1.0)  # shares of the final probability


def calibrate(recordings: Sequence[Recording], logits: Sequence[np.ndarray]) -> float:
    """Fit the temperature on candidates whose kind is known."""
    labels = np.concatenate([recording.labels for recording in recordings])
    return fit_temperature(np.concatenate(list(logits))[labels >= 0], labels[labels >= 0])


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (N, C) of logits (N, C)."""
    scaled = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature) if len(logits) else logits
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def replay_all(
    recordings: Sequence[Recording], probabilities: Sequence[np.ndarray], thresholds: Thresholds
) -> list[ClipResult]:
    """Assemble the spans of every recording."""
    return [r.replay(p, thresholds) for r, p in zip(recordings, probabilities, strict=True)]


def choose_thresholds(
    recordings: Sequence[Recording], probabilities: Sequence[np.ndarray], most_false_per_minute: float | None = None
) -> Thresholds:
    """Choose the thresholds with the best F1 of micro-expressions; of equal ones, the highest.

    Args:
        recordings: The candidates.
        probabilities: Of each recording's candidates, by a classifier that was not trained on them.
        most_false_per_minute: Leave out thresholds with more false micro-expressions, if any others are left.
    """
    found = []
    for final, share in product(PROBABILITIES, LEAVE):
        # What would not be final is not worth a provisional report.
        thresholds = Thresholds(enter=final, final=final, leave=round(share * final, 3))
        scored = score(replay_all(recordings, probabilities, thresholds))
        found.append((scored["f1"] or 0.0, final, scored["false_per_minute"] or 0.0, thresholds))
    allowed = [f for f in found if most_false_per_minute is None or f[2] <= most_false_per_minute]
    return max(allowed or [min(found, key=lambda f: f[2])], key=lambda f: f[:2])[-1]
