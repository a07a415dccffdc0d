from dataclasses import fields, replace

import pytest

from stream.spotter.rules import Evidence, judged

NOTHING = Evidence(**{field.name: 0 for field in fields(Evidence)})


@pytest.mark.parametrize("snr", [2.5, 6.0])
def test_what_is_in_question_needs_a_judge_who_rather_believes_it(snr):
    seen = replace(NOTHING, snr=snr)
    assert [judged("micro", seen, doubt) for doubt in (0.4, 0.6)] == ["micro", "other"]
