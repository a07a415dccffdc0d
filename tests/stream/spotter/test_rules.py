"""The rules, case by case: each differs from a clear example in what decides."""

from dataclasses import replace

import pytest

from merau.stream.spotter.rules import (
    CandidateFeatures,
    Kind,
    apply_second_stage,
    classify_sustained,
    classify_transient,
    needs_second_stage,
)

MICRO_MAX_S = 0.5

MICRO = CandidateFeatures(
    duration_s=0.3,
    strength_px=0.5,
    snr=6.0,
    eye_px=0.2,
    blink_px=0.2,
    upper_share=0.2,
    face_px=0.8,
    aperture_drop=0.0,
    mouth_change_px=0.5,
    mouth_share=0.3,
    eye_share=0.1,
    head_shift_px=0.5,
    head_rotation_px=0.2,
    spread=0.1,
    end_level=0.05,
    peak_count=1,
    in_eye_region=False,
    age_s=10.0,
)
LIDS = replace(MICRO, in_eye_region=True, aperture_drop=0.05, duration_s=0.25)
MACRO = replace(MICRO, duration_s=1.5, strength_px=1.5, end_level=0.5)


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
    assert classify_transient(replace(MICRO, **changes), MICRO_MAX_S) == kind


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
    assert classify_transient(replace(MICRO, **changes), MICRO_MAX_S) == kind


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "other"),
        ({"aperture_drop": 0.11}, "blink"),
        ({"aperture_drop": 0.11, "duration_s": 0.7}, "other"),
    ],
)
def test_transient_in_eye_region_is_blink_or_other(changes, kind):
    assert classify_transient(replace(LIDS, **changes), MICRO_MAX_S) == kind


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
    assert classify_transient(replace(MICRO, **changes), MICRO_MAX_S) == kind


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
    assert classify_transient(replace(MICRO, **changes), MICRO_MAX_S) == kind


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
    assert classify_sustained(replace(MACRO, **changes), MICRO_MAX_S) == kind


@pytest.mark.parametrize(
    "changes", [{"snr": 4.0}, {"peak_count": 2}, {"spread": 0.04}, {"duration_s": 0.14}, {"head_rotation_px": 1.1}]
)
def test_ambiguous_micro_needs_second_stage(changes):
    assert not needs_second_stage("micro", MICRO, MICRO_MAX_S)
    assert needs_second_stage("micro", replace(MICRO, **changes), MICRO_MAX_S)


@pytest.mark.parametrize(
    ("kind", "candidate", "needed"),
    [
        ("other", MICRO, True),
        ("speech", MICRO, True),
        ("head", MICRO, False),
        ("other", replace(MICRO, snr=1.6), False),
        ("other", replace(MICRO, strength_px=2.7), True),
        ("other", replace(MICRO, strength_px=2.8), False),
        ("other", replace(MICRO, end_level=0.5), False),
        ("other", replace(MICRO, peak_count=3), False),
        ("other", replace(MICRO, duration_s=0.14), False),
        ("other", replace(MICRO, duration_s=0.69), True),
        ("other", replace(MICRO, duration_s=0.71), False),
        ("other", LIDS, True),
        ("other", replace(LIDS, snr=1.5), True),
        ("other", replace(LIDS, snr=1.3), False),
        ("blink", replace(LIDS, aperture_drop=0.3), False),
    ],
)
def test_possible_micro_needs_second_stage(kind, candidate, needed):
    assert needs_second_stage(kind, candidate, MICRO_MAX_S) == needed


def kinds(kind: Kind, candidate: CandidateFeatures, *scores: float) -> list[Kind]:
    return [apply_second_stage(kind, candidate, score) for score in scores]


@pytest.mark.parametrize("snr", [2.5, 6.0])
def test_second_stage_rejects_micro_above_the_score(snr):
    assert kinds("micro", replace(MICRO, snr=snr), 0.2, 0.3, 0.4) == ["micro", "micro", "other"]


def test_second_stage_is_stricter_with_large_micro():
    assert kinds("micro", replace(MICRO, strength_px=0.7), 0.1, 0.2) == ["micro", "other"]


def test_second_stage_is_stricter_with_moving_head():
    assert kinds("micro", replace(MICRO, head_shift_px=7.0), 0.1, 0.2) == ["micro", "head"]


def test_second_stage_rejects_macro_unless_large():
    assert kinds("macro", MACRO, 0.3, 0.4) == ["macro", "other"]
    assert kinds("macro", replace(MACRO, strength_px=3.1), 0.4) == ["macro"]
    assert kinds("macro", replace(MACRO, strength_px=3.1, mouth_share=0.95), 0.4) == ["other"]


def test_second_stage_overrules_other_kinds_if_certain():
    assert kinds("speech", MICRO, 0.05, 0.1) == ["micro", "speech"]


def test_second_stage_accepts_movements_of_the_lids():
    assert kinds("other", LIDS, 0.3, 0.4) == ["micro", "other"]
    assert kinds("other", replace(LIDS, snr=2.9), 0.05, 0.3) == ["micro", "other"]
    assert kinds("other", replace(LIDS, head_rotation_px=2.0), 0.05, 0.3) == ["micro", "other"]
