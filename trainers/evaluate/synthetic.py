"""What a bundle scores on synthetic data it was not trained on: other generator settings, other seeds, other faces."""

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

# Stronger variation and nuisance than in training, so that the score is not that of the training distribution.
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


def kinds_of(bundle: Bundle) -> Combinations:
    """The expressions to draw for `bundle`: those of its classes. Raises UserError where they are nobody's."""
    for kinds in (COMBINATIONS, SOURCE, TARGET):
        if FlowSettings(combinations=kinds).classes == tuple(bundle.card["classes"]):
            return kinds
    raise UserError(
        f"Nothing can be drawn for the classes of bundle {bundle.name}, {', '.join(bundle.card['classes'])}: "
        "evaluate it on a flow set, with --protocol and --flows."
    )


def picture(recognizer: Recognizer, data: Flows) -> str:
    """The reliability diagram of what is said to `data`, as an SVG."""
    embedding, _ = recognizer.trunk.embed(**trunk_inputs(recognizer.apex_px, data.flow, known=data.known))
    said = heads.softmax(recognizer.head.logits(embedding) / recognizer.temperature)
    confidence, accuracy, count = reliability(said.max(1), said.argmax(1) == data.label, bins=10)
    return reliability_svg(confidence, accuracy, count / count.sum())


def score(recognizer: Recognizer, data: Flows, apex: np.ndarray | None = None) -> dict[str, Any]:
    """Every figure of the card; `apex` (N, 1, 64, 64) are the apex pictures, for a bundle that looks at them."""
    label, aus, peak_px = data.label, data.aus, data.peak_px
    embedding, au_logits = recognizer.trunk.embed(**trunk_inputs(recognizer.apex_px, data.flow, apex, data.known))
    probabilities = heads.softmax(recognizer.head.logits(embedding) / recognizer.temperature)
    said, sure = probabilities.argmax(1), probabilities.max(1) >= recognizer.threshold
    none = probabilities.shape[1] - 1
    expressive = label < none
    units, shown = recognizer.bundle.card["aus"], recognizer.au_probabilities(au_logits)
    return {
        "samples": len(label),
        **rounded(class_scores(label, said, probabilities.shape[1])),
        "recall": {
            name: round(float((said[label == c] == c).mean()), 3)
            for c, name in enumerate(recognizer.head.classes)
            if (label == c).any()
        },
        "expressions": rounded(class_scores(label[expressive], probabilities[expressive, :none].argmax(1), none)),
        "by_peak_px": {
            f"{low}-{high}": by_peak(label, said, none, expressive & (peak_px >= low) & (peak_px < high))
            for low, high in INTENSITIES_PX
        },
        "au_auc": rounded({au: auc(aus[:, i], au_logits[:, i]) for i, au in enumerate(units)}),
        "au_f1": rounded({au: f1(aus[:, i], shown[:, i] > 0.5) for i, au in enumerate(units)}),
        "au_ece": round(binned_calibration_error(shown.ravel(), aus.ravel()), 4),
        "ece": round(expected_calibration_error(probabilities, label), 4),
        "answered": answered(label, said, sure),
        "expressions_answered": answered(*(column[said < none] for column in (label, said, sure))),
        "domain": distance(embedding[expressive], recognizer.bundle),
    }


def distance(expressions: np.ndarray, bundle: Bundle) -> dict[str, float]:
    """MMD^2 and its p-value between the embeddings (n, d) of `expressions` and those that `bundle` holds of its own
    domain, expressions too; empty without such samples, or of fewer than can be compared.
    """
    if DOMAIN not in bundle.content or len(expressions) < MIN_SAMPLES:
        return {}
    apart = domain_distance(expressions, domain_embeddings(bundle))
    return {"mmd2": round(apart.mmd2, 4), "p": round(apart.p_value, 3)}


def answered(label: np.ndarray, said: np.ndarray, sure: np.ndarray) -> dict[str, float]:
    """The share that was not called uncertain, and the share of errors in it."""
    wrong = float((said != label)[sure].mean()) if sure.any() else 0.0
    return {"share": round(float(sure.mean()), 3), "error": round(wrong, 3)}


def by_peak(label: np.ndarray, said: np.ndarray, none: int, rows: np.ndarray) -> dict[str, float]:
    """Accuracy and the share taken for no expression among `rows`, which show one."""
    if not rows.any():
        return {}
    right, missed = said[rows] == label[rows], said[rows] == none
    return {"acc": round(float(right.mean()), 3), "taken_for_none": round(float(missed.mean()), 3)}


def rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in scores.items()}
