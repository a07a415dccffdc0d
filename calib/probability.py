"""Making probabilities true: temperature scaling, reliability, and when to answer "uncertain".

Logits and probabilities are (N, C) float, labels (N,) integers. Fit on samples that took no part in training.
"""

import numpy as np

from merau.engine.errors import UserError
from merau.engine.heads import softmax

SLOPE_SD, OFFSET_SD = 0.6, 1.0  # expected of a trunk's logits; the shipped ones ask for up to 1.5 and -1.5


def fit_temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The T > 0 for which softmax(logits / T) has the least negative log-likelihood (Guo et al. 2017).

    `weights` (N,) of the samples, all the same by default. Golden-section search over log T between 1/20 and
    20; the likelihood has a single minimum there.
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
    """The b for the last class and the T for which softmax(add_class_bias(logits, b) / T) has the least negative
    log-likelihood, each fit in turn; `weights` as in `fit_temperature`. b is looked for between -3 and 3.
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
    """`logits` (N, C) with `bias` added to the last class."""
    return np.column_stack([logits[:, :-1], logits[:, -1] + bias])


def fit_slope_and_offset(logits: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The a and b for which 1 / (1 + exp(-(a x + b))) is the probability of the `truth` (N,) of 0 and 1, given logits x
    (N,): Platt scaling (Platt 1999). `weights` (N,) of the samples, of any sum.

    The most probable ones where 1 and 0 are expected, give or take SLOPE_SD and OFFSET_SD: a few samples move them
    little. Platt draws the targets in from 0 and 1 instead, and from a few samples makes unsure what is told well.
    Newton's method from there; the likelihood has a single maximum.
    """
    expected, pull = np.array([1.0, 0.0]), np.array([SLOPE_SD, OFFSET_SD]) ** -2.0
    counts = weights * (len(weights) / weights.sum())
    design = np.column_stack([logits, np.ones(len(logits))])
    scaling = expected
    for _ in range(50):
        said = 1 / (1 + np.exp(-np.clip(design @ scaling, -30, 30)))
        gradient = design.T @ (counts * (said - truth)) + pull * (scaling - expected)
        bend = (design.T * (counts * said * (1 - said))) @ design + np.diag(pull)
        step = np.linalg.solve(bend, gradient)
        scaling = scaling - step * min(1, 2 / np.abs(step).max())
        if np.abs(step).max() < 1e-6:
            break
    return float(scaling[0]), float(scaling[1])


def ambiguous_interval(
    probability: np.ndarray, truth: np.ndarray, *, missed: float, false: float
) -> tuple[float, float]:
    """Between which values of a class's `probability` (N,) it is left open whether the class is there.

    Below the first lies at most a share `missed` of the samples of which it is the `truth` (N,) bool, above the second
    at most a share `false` of the others. Raises UserError where either are lacking.
    """
    if truth.all() or not truth.any():
        raise UserError("When a class is surely there can only be told from samples with it and samples without.")
    low, high = sorted((np.quantile(probability[truth], missed), np.quantile(probability[~truth], 1 - false)))
    return float(low), float(high)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width confidence bins, weighted by their counts."""
    return binned_calibration_error(probabilities.max(1), probabilities.argmax(1) == labels, bins=bins)


def binned_calibration_error(probability: np.ndarray, happened: np.ndarray, *, bins: int = 15) -> float:
    """Mean gap between `probability` (N,) and how often it `happened` (N,) over equal-width bins, by their counts."""
    said, seen, count = reliability(probability, happened, bins=bins)
    return float((count * np.abs(said - seen)).sum() / count.sum())


def reliability(
    probability: np.ndarray, happened: np.ndarray, *, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each equal-width bin that holds any of `probability` (N,): its mean there, how often it `happened` (N,), and
    how many samples that are.
    """
    index = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    held = count > 0
    said, seen = (np.bincount(index, values, minlength=bins)[held] / count[held] for values in (probability, happened))
    return said, seen, count[held]


def reliability_svg(confidence: np.ndarray, accuracy: np.ndarray, share: np.ndarray) -> str:
    """The reliability diagram of bins (B,) as an SVG: a line for the accuracy at each confidence, on the diagonal where
    confidence is true, and a bar for the share of the answers.
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
    """The lowest confidence at which to answer so that at most `risk` of the answers, by `weights` (N,), are wrong.

    Raises UserError where even the most confident answers are wrong more often than that.
    """
    if not 0 < risk < 1:
        raise UserError(f"risk is {risk}: choose a share of wrong answers between 0 and 1.")
    order = np.argsort(-probabilities.max(1), kind="stable")
    confidence = probabilities.max(1)[order]
    weight = np.ones(len(labels)) if weights is None else weights[order]
    wrong = np.cumsum(weight * (probabilities.argmax(1) != labels)[order]) / np.cumsum(weight)
    fine = np.flatnonzero(wrong <= risk)
    if not len(fine):
        raise UserError(f"No confidence keeps the error at {risk:.0%}: this model cannot answer at that risk.")
    return float(confidence[fine[-1]])
