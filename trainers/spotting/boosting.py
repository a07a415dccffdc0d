"""Gradient boosting on the measurements alone: the baseline that shows what the motion of the patches adds."""

import numpy as np

from merau.stream.spotter import KINDS, CandidateInput
from merau.trainers.spotting.folds import Learned
from merau.trainers.spotting.record import NOT_MICRO, UNKNOWN

LEAST = 1e-6  # probability of a kind that training did not show


def boost(candidates: CandidateInput, labels: np.ndarray, weights: np.ndarray, seed: int = 0) -> Learned:
    """Fit boosted trees; what is only known to be no micro-expression counts as "other"."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    known = labels != UNKNOWN
    kinds = np.where(labels == NOT_MICRO, KINDS.index("other"), labels)[known]
    trees = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.08, max_leaf_nodes=15, l2_regularization=1.0, random_state=seed
    ).fit(candidates.features[known], kinds, sample_weight=weights[known])

    def logits(others: CandidateInput) -> np.ndarray:
        probabilities = np.full((len(others.features), len(KINDS)), LEAST)
        if len(others.features):
            probabilities[:, trees.classes_] = trees.predict_proba(others.features)
        return np.log(np.maximum(probabilities, LEAST))

    return logits
