import numpy as np
import pytest

from merau.calib import probability
from merau.engine.errors import UserError
from merau.engine.heads import softmax


def calibrated_logits(samples: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (samples, classes))
    draws = rng.random((samples, 1))
    return logits, (softmax(logits).cumsum(1) < draws).sum(1)


def test_fit_temperature_recovers_the_temperature():
    logits, labels = calibrated_logits(20_000)
    assert probability.fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
    assert probability.fit_temperature(0.5 * logits, labels) == pytest.approx(0.5, rel=0.05)


def test_fit_recovers_bias_and_temperature():
    logits, labels = calibrated_logits(20_000)
    bias, temperature = probability.fit_bias_and_temperature(2 * probability.add_class_bias(logits, 0.5), labels)
    assert bias == pytest.approx(-1, abs=0.1)
    assert temperature == pytest.approx(2, rel=0.05)


def test_fit_recovers_slope_and_offset_of_rare_events():
    rng = np.random.default_rng(0)
    logits = rng.normal(-3, 2, 40_000)
    truth = (rng.random(40_000) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    weights = np.where(rng.random(40_000) < 0.3, 2.0, 0.5)
    slope, offset = probability.fit_slope_and_offset(2 * logits + 1, truth, weights)
    assert slope == pytest.approx(0.5, rel=0.05)
    assert offset == pytest.approx(-0.5, abs=0.1)
    confident = probability.binned_calibration_error(1 / (1 + np.exp(-(2 * logits + 1))), truth)
    scaled = probability.binned_calibration_error(1 / (1 + np.exp(-(slope * (2 * logits + 1) + offset))), truth)
    assert confident > 0.05
    assert scaled < 0.01


def test_few_samples_change_slope_and_offset_little():
    logits, weights = np.linspace(-4, 4, 40), np.full(40, 0.01)
    inverted, separated = (np.isin(np.arange(40), rows) for rows in ((3, 5), (38, 39)))
    slope, offset = probability.fit_slope_and_offset(logits, inverted, weights)
    assert abs(slope) < 0.5
    assert -3 < offset < -1
    slope, offset = probability.fit_slope_and_offset(logits, separated, weights)
    assert 0.3 < slope < 1.5
    assert -3 < offset < -1
    assert probability.fit_slope_and_offset(logits, separated, 7 * weights) == pytest.approx((slope, offset))


def test_calibration_error_detects_overconfidence():
    logits, labels = calibrated_logits(20_000)
    assert probability.expected_calibration_error(softmax(logits), labels) < 0.015
    assert probability.expected_calibration_error(softmax(5 * logits), labels) > 0.15


def test_reliability_skips_empty_bins():
    mean, frequency, count = probability.reliability(np.array([0.1, 0.2, 0.9, 1.0]), np.array([0, 1, 1, 1]), bins=3)
    assert mean == pytest.approx([0.15, 0.95])
    assert frequency.tolist() == [0.5, 1]
    assert count.tolist() == [2, 2]
    assert probability.reliability_svg(mean, frequency, count / 4).count("<rect") == 2


def test_uncertain_threshold_gives_the_requested_risk():
    logits, labels = calibrated_logits(20_000)
    probabilities = softmax(logits)
    threshold = probability.uncertain_threshold(probabilities, labels, risk=0.10)
    answered = probabilities.max(1) >= threshold
    assert (probabilities.argmax(1) != labels)[answered].mean() == pytest.approx(0.10, abs=0.005)
    assert 0.2 < answered.mean() < 1


def test_unreachable_risk_is_refused():
    with pytest.raises(UserError, match="choose a higher risk"):
        probability.uncertain_threshold(np.array([[0.9, 0.1]] * 10), np.ones(10, int))
