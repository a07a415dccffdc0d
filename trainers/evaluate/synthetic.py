"""Scores of a bundle on synthetic data it was not trained on.

The data have other generator settings, other seeds and other faces than in training, but the same geometry. So these
scores find faults, and say little of real faces: `truth` has those to steer by.
"""

from typing import Any

import numpy as np

from merau.calib.domain import MIN_SAMPLES, domain_distance, domain_embeddings
from merau.calib.probability import binned_calibration_error, expected_calibration_error, reliability, reliability_svg
from merau.engine import heads
from merau.engine.bundle import DOMAIN, Bundle
from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.trainers.data.synth.action_units import COMBINATIONS, SOURCE, TARGET, Combinations, Variation
from merau.trainers.data.synth.flow_fields import LIVE_SHARE, Flows, FlowSettings
from merau.trainers.evaluate.metrics import auc, class_scores, f1
from merau.trainers.export.bundle import trunk_inputs

# More variation and more disturbance than in training, so that the score is not that of the training distribution.
KEPT_OUT = FlowSettings(
    no_expression=LIVE_SHARE,
    noise_px=(0.03, 0.4),
    head_px=(0.1, 8.0),
    shift_sd=0.04,
    scale_sd=0.08,
    rotation_sd_deg=4.0,
    warp_sd=0.03,
    blur_cells=(0.3, 1.6),
    variation=Variation(position_sd=0.032, width_sigma=0.3, direction_sigma=0.3, gain_sigma=0.45),
)
INTENSITIES_PX = ((0.35, 0.71), (0.71, 1.41), (1.41, 2.83), (2.83, 14.0))  # around 0.5, 1, 2, 4 px


def combinations_of(bundle: Bundle) -> Combinations:
    """Return the expressions to draw for the classes of `bundle`.

    Raises UserError where none fit.
    """
    for combinations in (COMBINATIONS, SOURCE, TARGET):
        if FlowSettings(combinations=combinations).classes == tuple(bundle.card["classes"]):
            return combinations
    raise UserError(
        f"No synthetic data can be drawn for the classes of bundle {bundle.name}, "
        f"{', '.join(bundle.card['classes'])}: evaluate it on a flow set, with --protocol and --flows."
    )


def reliability_diagram(recognizer: Recognizer, data: Flows) -> str:
    """Return the reliability diagram of the predictions for `data`, as SVG."""
    embedding, _ = recognizer.trunk.embed(**trunk_inputs(recognizer.apex_px, data.flow, known=data.known))
    probabilities = heads.softmax(recognizer.head.logits(embedding) / recognizer.temperature)
    right = probabilities.argmax(1) == data.label
    confidence, accuracy, count = reliability(probabilities.max(1), right, bins=10)
    return reliability_svg(confidence, accuracy, count / count.sum())


def score(recognizer: Recognizer, data: Flows, apex: np.ndarray | None = None) -> dict[str, Any]:
    """Return every figure of the card.

    Args:
        recognizer: What to score.
        data: Flow and ground truth.
        apex: For a bundle that sees them, apex images (N, 1, 64, 64).
    """
    label, aus, peak_px = data.label, data.aus, data.peak_px
    embedding, au_logits = recognizer.trunk.embed(**trunk_inputs(recognizer.apex_px, data.flow, apex, data.known))
    probabilities = heads.softmax(recognizer.head.logits(embedding) / recognizer.temperature)
    predicted, certain = probabilities.argmax(1), probabilities.max(1) >= recognizer.threshold
    none = probabilities.shape[1] - 1
    expressive = label < none
    units, au_probabilities = recognizer.bundle.card["aus"], recognizer.au_probabilities(au_logits)
    au_probabilities = au_probabilities * np.where(data.known, recognizer.expressed(embedding), 1)[:, None]
    return {
        "samples": len(label),
        **rounded(class_scores(label, predicted, probabilities.shape[1])),
        "recall": {
            name: round(float((predicted[label == c] == c).mean()), 3)
            for c, name in enumerate(recognizer.head.classes)
            if (label == c).any()
        },
        "expressions": rounded(class_scores(label[expressive], probabilities[expressive, :none].argmax(1), none)),
        "by_peak_px": {
            f"{low}-{high}": peak_scores(label, predicted, none, expressive & (peak_px >= low) & (peak_px < high))
            for low, high in INTENSITIES_PX
        },
        "au_auc": rounded({au: auc(aus[:, i], au_probabilities[:, i]) for i, au in enumerate(units)}),
        "au_f1": rounded({au: f1(aus[:, i], au_probabilities[:, i] > 0.5) for i, au in enumerate(units)}),
        "au_ece": round(binned_calibration_error(au_probabilities.ravel(), aus.ravel()), 4),
        "ece": round(expected_calibration_error(probabilities, label), 4),
        "answered": certain_scores(label, predicted, certain),
        "expressions_answered": certain_scores(*(column[predicted < none] for column in (label, predicted, certain))),
        "domain": domain_scores(embedding[expressive], recognizer.bundle),
    }


def domain_scores(expressions: np.ndarray, bundle: Bundle) -> dict[str, float]:
    """Return MMD^2 and its p-value between `expressions` and the domain samples.

    `expressions` (n, d) are embeddings; the domain samples are the bundle's.

    Empty without domain samples, or with too few of either.
    """
    if DOMAIN not in bundle.content or len(expressions) < MIN_SAMPLES:
        return {}
    distance = domain_distance(expressions, domain_embeddings(bundle))
    return {"mmd2": round(distance.mmd2, 4), "p": round(distance.p_value, 3)}


def certain_scores(label: np.ndarray, predicted: np.ndarray, certain: np.ndarray) -> dict[str, float]:
    """Return the share of certain predictions and their error rate."""
    wrong = float((predicted != label)[certain].mean()) if certain.any() else 0.0
    return {"share": round(float(certain.mean()), 3), "error": round(wrong, 3)}


def peak_scores(label: np.ndarray, predicted: np.ndarray, none: int, rows: np.ndarray) -> dict[str, float]:
    """Return accuracy and the share classified as no expression.

    `rows` are samples that show an expression.
    """
    if not rows.any():
        return {}
    right, missed = predicted[rows] == label[rows], predicted[rows] == none
    return {"acc": round(float(right.mean()), 3), "taken_for_none": round(float(missed.mean()), 3)}


def rounded(scores: dict[str, float]) -> dict[str, float]:
    """Return `scores` with three decimals."""
    return {name: round(value, 3) for name, value in scores.items()}
