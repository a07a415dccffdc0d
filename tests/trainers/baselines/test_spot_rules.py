"""The rules, case by case: each differs from a clear example in what decides."""

import numpy as np
import pytest

from merau.stream.spotter import KINDS, CandidateInput
from merau.stream.spotter.classifier import CHANNELS, FEATURES, STEPS
from merau.trainers.baselines.spot_rules import SpotRules, classify

MICRO = dict.fromkeys(FEATURES, 0.0) | {
    "duration_s": 0.3,
    "strength_px": 0.5,
    "snr": 6.0,
    "eye_px": 0.2,
    "blink_px": 0.2,
    "upper_share": 0.2,
    "face_px": 0.8,
    "mouth_change_px": 0.5,
    "mouth_share": 0.3,
    "eye_share": 0.1,
    "head_shift_px": 0.5,
    "head_rotation_px": 0.2,
    "spread": 0.1,
    "end_level": 0.05,
    "peak_count": 1,
    "age_s": 10.0,
    "ended": 1,
    "at_brows": 1,
}
LIDS = MICRO | {"at_brows": 0, "at_eyes": 1, "aperture_drop": 0.05, "duration_s": 0.25}
MACRO = MICRO | {"at_brows": 0, "duration_s": 1.5, "strength_px": 1.5, "end_level": 0.5}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "micro"),
        ({"snr": 1.9}, "other"),
        ({"age_s": 0.5}, "micro"),
        ({"age_s": 1.0, "snr": 4.5}, "micro"),
        ({"age_s": 0.5, "snr": 4.8}, "other"),
        ({"age_s": 0.2, "snr": 4.5}, "other"),
        ({"spread": 0.02}, "other"),
        ({"spread": 0.5}, "other"),
        ({"end_level": 0.5}, "other"),
        ({"duration_s": 0.57}, "micro"),
        ({"duration_s": 0.58}, "other"),
        ({"peak_count": 2}, "micro"),
        ({"peak_count": 3}, "other"),
        ({"strength_px": 2.1}, "micro"),
        ({"strength_px": 2.3}, "other"),
    ],
)
def test_transient_noise_and_shape_decide(changes, kind):
    assert classify(MICRO | changes) == kind


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"eye_px": 1.6}, "blink"),
        ({"eye_px": 1.4}, "micro"),
        ({"eye_px": 2.0, "face_px": 1.4}, "micro"),
        ({"aperture_drop": 0.11, "eye_share": 0.6}, "blink"),
        ({"aperture_drop": 0.09, "eye_share": 0.6}, "micro"),
        ({"aperture_drop": 0.09, "blink_px": 2.0, "upper_share": 0.6, "eye_px": 0.7}, "blink"),
        ({"aperture_drop": 0.09, "blink_px": 2.0, "upper_share": 0.4, "eye_px": 0.7}, "micro"),
        ({"aperture_drop": 0.09, "blink_px": 2.0, "snr": 3.9}, "blink"),
        ({"aperture_drop": 0.16, "snr": 3.9}, "blink"),
        ({"aperture_drop": 0.12, "snr": 3.9}, "micro"),
    ],
)
def test_transient_with_closing_eyes_is_blink(changes, kind):
    assert classify(MICRO | changes) == kind


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "other"),
        ({"aperture_drop": 0.11}, "blink"),
        ({"aperture_drop": 0.11, "duration_s": 0.7}, "other"),
    ],
)
def test_transient_in_eye_region_is_blink_or_other(changes, kind):
    assert classify(LIDS | changes) == kind


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"head_rotation_px": 1.7, "snr": 5.9}, "head"),
        ({"head_rotation_px": 1.6, "snr": 5.9}, "micro"),
        ({"head_rotation_px": 2.4, "snr": 6.1}, "micro"),
        ({"head_rotation_px": 2.6, "snr": 6.1}, "head"),
        ({"head_shift_px": 7.5}, "head"),
        ({"head_shift_px": 6.5}, "micro"),
        ({"head_shift_px": 5.9, "strength_px": 0.3}, "micro"),
    ],
)
def test_transient_with_head_motion_is_head(changes, kind):
    assert classify(MICRO | changes) == kind


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"mouth_change_px": 3.1, "mouth_share": 0.8}, "speech"),
        ({"mouth_change_px": 3.1, "mouth_share": 0.6}, "micro"),
        ({"mouth_change_px": 3.5, "mouth_share": 0.6}, "speech"),
        ({"mouth_change_px": 2.9, "mouth_share": 0.8}, "micro"),
    ],
)
def test_transient_with_opening_mouth_is_speech(changes, kind):
    assert classify(MICRO | changes) == kind


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "macro"),
        ({"duration_s": 0.58}, "macro"),
        ({"duration_s": 0.57}, "other"),
        ({"snr": 4.9}, "other"),
        ({"strength_px": 0.69}, "other"),
        ({"head_rotation_px": 3.8}, "head"),
        ({"head_rotation_px": 3.7}, "macro"),
    ],
)
def test_sustained_is_macro_unless_weak_or_head(changes, kind):
    assert classify(MACRO | changes) == kind


def test_rules_are_a_classifier():
    features = np.array([[one[name] for name in FEATURES] for one in (MICRO, LIDS, MACRO)], np.float32)
    candidates = CandidateInput(np.zeros((3, CHANNELS, STEPS)), np.ones((3, STEPS)), features)
    kinds = [KINDS[i] for i in SpotRules()(candidates).argmax(axis=1)]
    assert kinds == ["micro", "other", "macro"]
