"""Calibration of probabilities: temperature, class bias, Platt scaling, reliability, threshold for "uncertain".

Logits and probabilities are (N, C) float, labels (N,) integers. Fit on samples that were not used for training.
"""

import numpy as np

from merau.engine.errors import UserError
from merau.engine.heads import softmax

SLOPE_SD, OFFSET_SD = 0.6, 1.0  # of the prior; the shipped trunks need slopes up to 1.5 and offsets down to -1.5


def fit_temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Fit the temperature T for which softmax(logits / T) has the least negative log-likelihood (Guo et al. 2017).

    Golden-section search over log T, with T from 1/20 to 20; the likelihood has a single optimum there.

    Args:
        logits: (N, C).
        labels: (N,).
        weights: Of the samples, (N,). Default: equal.
    """
    rows = np.arange(len(labels))

    def loss(log_t: float) -> float:
        return float(np.average(-np.log(softmax(logits / np.exp(log_t))[rows, labels] + 1e-12), weights=weights))

    low, high, ratio = -np.log(20), np.log(20), (np.sqrt(5) - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return float(np.exp((low + high) / 2))


def fit_bias_and_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Fit a bias of the last class, from -3 to 3, and a temperature, each in turn, by maximum likelihood.

    Args:
        logits: (N, C).
        labels: (N,).
        weights: Of the samples, (N,). Default: equal.

    Returns:
        Bias b and temperature T of softmax(add_class_bias(logits, b) / T).
    """
    bias, temperature, rows = 0.0, 1.0, np.arange(len(labels))
    candidates = np.linspace(-3, 3, 121)
    for _ in range(5):
        temperature = fit_temperature(add_class_bias(logits, bias), labels, weights)
        losses = [
            np.average(-np.log(softmax(add_class_bias(logits, b) / temperature)[rows, labels] + 1e-12), weights=weights)
            for b in candidates
        ]
        bias = float(candidates[np.argmin(losses)])
    return bias, temperature


def add_class_bias(logits: np.ndarray, bias: float) -> np.ndarray:
    """Add `bias` to the logits (N, C) of the last class."""
    return np.column_stack([logits[:, :-1], logits[:, -1] + bias])


def fit_slope_and_offset(logits: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Fit slope a and offset b so that 1 / (1 + exp(-(a x + b))) is a probability: Platt scaling (Platt 1999).

    The fit is the maximum a posteriori under a Gaussian prior with mean (1, 0) and standard deviations SLOPE_SD and
    OFFSET_SD, so that few samples change little. Platt moves the targets away from 0 and 1 instead, which makes well
    separated classes uncertain if samples are few. Newton's method, as the posterior has a single maximum.

    Args:
        logits: x, (N,).
        truth: 0 or 1, (N,).
        weights: Of the samples, (N,), with any sum.
    """
    mean, precision = np.array([1.0, 0.0]), np.array([SLOPE_SD, OFFSET_SD]) ** -2.0
    counts = weights * (len(weights) / weights.sum())
    design = np.column_stack([logits, np.ones(len(logits))])
    scaling = mean
    for _ in range(50):
        probability = 1 / (1 + np.exp(-np.clip(design @ scaling, -30, 30)))
        gradient = design.T @ (counts * (probability - truth)) + precision * (scaling - mean)
        hessian = (design.T * (counts * probability * (1 - probability))) @ design + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        scaling = scaling - step * min(1, 2 / np.abs(step).max())
        if np.abs(step).max() < 1e-6:
            break
    return float(scaling[0]), float(scaling[1])


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 15) -> float:
    """Compute the ECE: mean distance of confidence and accuracy over equal-width bins, weighted by their counts."""
    return binned_calibration_error(probabilities.max(1), probabilities.argmax(1) == labels, bins=bins)


def binned_calibration_error(probability: np.ndarray, happened: np.ndarray, *, bins: int = 15) -> float:
    """Compute the mean distance of probability and frequency over equal-width bins, weighted by their counts.

    Args:
        probability: Of an outcome, (N,).
        happened: Whether it occurred, (N,).
        bins: Number of bins.
    """
    mean, frequency, count = reliability(probability, happened, bins=bins)
    return float((count * np.abs(mean - frequency)).sum() / count.sum())


def reliability(
    probability: np.ndarray, happened: np.ndarray, *, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare probability and frequency in equal-width bins.

    Args:
        probability: Of an outcome, (N,).
        happened: Whether it occurred, (N,).
        bins: Number of bins.

    Returns:
        For each bin that is not empty: mean probability, frequency, and number of samples.
    """
    index = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    filled = count > 0
    sums = (np.bincount(index, values, minlength=bins)[filled] for values in (probability, happened))
    mean, frequency = (total / count[filled] for total in sums)
    return mean, frequency, count[filled]


def reliability_svg(confidence: np.ndarray, accuracy: np.ndarray, share: np.ndarray) -> str:
    """Draw a reliability diagram as an SVG: a line for the accuracy and a bar for the share of the predictions.

    Calibrated predictions lie on the diagonal.

    Args:
        confidence: Mean confidence of each bin, (B,).
        accuracy: Of each bin, (B,).
        share: Of all predictions, (B,).
    """
    side, edge = 300, 30
    low, far, span = side - edge, edge, side - 2 * edge
    x = edge + span * confidence
    bars = "".join(
        f'<rect x="{at - 8:.1f}" y="{low - span * part:.1f}" width="16" height="{span * part:.1f}"/>'
        for at, part in zip(x, share, strict=True)
    )
    curve = " ".join(f"{at:.1f},{low - span * seen:.1f}" for at, seen in zip(x, accuracy, strict=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}" font-family="sans-serif" '
        f'font-size="11" text-anchor="middle"><g fill="#2f7fbf" fill-opacity=".45">{bars}</g>'
        f'<g fill="none" stroke="#909090"><polyline points="{edge},{far} {edge},{low} {side - edge},{low}"/>'
        f'<polyline points="{edge},{low} {side - edge},{far}"/></g>'
        f'<polyline points="{curve}" fill="none" stroke="#2f7fbf" stroke-width="2"/><g fill="#808080">'
        f'<text x="{side / 2}" y="{side - 9}">confidence</text>'
        f'<text x="12" y="{side / 2}" transform="rotate(-90 12 {side / 2})">accuracy</text></g></svg>\n'
    )


def uncertain_threshold(
    probabilities: np.ndarray, labels: np.ndarray, *, risk: float = 0.10, weights: np.ndarray | None = None
) -> float:
    """Find the lowest confidence above which at most a share `risk` of the predictions is wrong.

    Args:
        probabilities: (N, C).
        labels: (N,).
        risk: Share of wrong predictions among those above the threshold.
        weights: Of the samples, (N,). Default: equal.

    Raises:
        UserError: Even the most confident predictions are wrong more often.
    """
    if not 0 < risk < 1:
        raise UserError(f"risk is {risk}: choose a share between 0 and 1.")
    order = np.argsort(-probabilities.max(1), kind="stable")
    confidence = probabilities.max(1)[order]
    weight = np.ones(len(labels)) if weights is None else weights[order]
    wrong = np.cumsum(weight * (probabilities.argmax(1) != labels)[order]) / np.cumsum(weight)
    fine = np.flatnonzero(wrong <= risk)
    if not len(fine):
        raise UserError(f"No confidence keeps the error below {risk:.0%}: choose a higher risk, or a better model.")
    return float(confidence[fine[-1]])
