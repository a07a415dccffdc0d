from dataclasses import fields, replace

import pytest

from merau.stream.spotter.rules import CandidateFeatures, in_question, judged

NOTHING = CandidateFeatures(**{field.name: 0 for field in fields(CandidateFeatures)})


@pytest.mark.parametrize("snr", [2.5, 6.0])
def test_what_is_in_question_needs_a_judge_who_rather_believes_it(snr):
    seen = replace(NOTHING, snr=snr, strength_px=0.5, head_px=3.0)
    assert [judged("micro", seen, doubt) for doubt in (0.2, 0.4)] == ["micro", "other"]


def test_what_a_moving_head_may_have_left_in_the_face_needs_a_judge_who_is_sure():
    carried = replace(NOTHING, snr=3.0, strength_px=0.5, head_px=7.0)
    assert [judged("micro", carried, doubt) for doubt in (0.05, 0.2)] == ["micro", "head"]


def test_of_a_large_movement_a_judge_has_to_be_sure():
    large = replace(NOTHING, snr=3.0, strength_px=0.7)
    assert [judged("micro", large, doubt) for doubt in (0.05, 0.2)] == ["micro", "other"]


def test_what_the_rules_take_for_something_else_may_be_one_if_a_judge_is_sure():
    seen = replace(NOTHING, snr=3.0, strength_px=0.4)
    assert [judged("other", seen, doubt) for doubt in (0.05, 0.2)] == ["micro", "other"]


def test_no_judge_is_asked_of_lids_that_close():
    lids = replace(NOTHING, on_eyes=True, snr=5.0, duration_s=0.25)
    assert in_question("other", lids, 0.5)
    assert not in_question("blink", replace(lids, aperture_drop=0.3), 0.5)
