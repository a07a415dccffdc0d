from dataclasses import fields, replace

import pytest

from stream.spotter.rules import Evidence, in_question, judged

NOTHING = Evidence(**{field.name: 0 for field in fields(Evidence)})


@pytest.mark.parametrize("snr", [2.5, 6.0])
def test_what_is_in_question_needs_a_judge_who_rather_believes_it(snr):
    seen = replace(NOTHING, snr=snr)
    assert [judged("micro", seen, doubt) for doubt in (0.4, 0.6)] == ["micro", "other"]


def test_what_a_moving_head_leaves_in_the_face_needs_a_judge_who_is_sure():
    carried = replace(NOTHING, snr=3.0, strength_px=0.7, head_px=7.0)
    assert [judged("micro", carried, doubt) for doubt in (0.0, 0.1)] == ["micro", "head"]
    assert judged("micro", replace(carried, strength_px=1.2), 0.1) == "micro"


def test_of_a_large_movement_a_judge_is_asked_to_be_rather_sure_as_of_a_small_one_that_is_clear():
    large, small = replace(NOTHING, snr=3.0, strength_px=0.7), replace(NOTHING, snr=5.0, strength_px=0.4)
    assert [judged("micro", large, doubt) for doubt in (0.1, 0.2)] == ["micro", "other"]
    assert [judged("other", small, doubt) for doubt in (0.09, 0.2)] == ["micro", "other"]
    assert judged("other", replace(small, snr=3.0), 0.09) == "other"


def test_no_judge_is_asked_of_lids_that_close():
    lids = replace(NOTHING, on_eyes=True, snr=5.0, duration_s=0.25)
    assert in_question("other", lids, 0.5)
    assert not in_question("blink", replace(lids, aperture_drop=0.3), 0.5)
