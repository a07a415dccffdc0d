from dataclasses import fields, replace

import pytest

from merau.stream.spotter.rules import CandidateFeatures
from merau.stream.spotter.span import Span
from merau.stream.spotter.speech import Speech


@pytest.fixture
def syllable(film):
    """A short movement of the mouth, said to be a micro-expression."""
    (crop,) = film([], [0.0])
    nothing = CandidateFeatures(**{field.name: 0 for field in fields(CandidateFeatures)})

    def make(id: int, apex_s: float, mouth_share: float = 0.9, snr: float = 5.0) -> Span:
        seen = replace(nothing, mouth_share=mouth_share, snr=snr)
        return Span(1, id, apex_s - 0.1, apex_s, apex_s + 0.1, "micro", 1.0, True, crop, crop, seen)

    return make


def test_one_alone_is_what_it_is(syllable):
    speech = Speech()
    span = syllable(1, 1.0)
    assert speech.hear(span) == [span]
    assert speech.end(5.0) == []


def test_three_in_a_row_are_speech_under_the_id_of_the_first_and_the_others_are_taken_back(syllable):
    speech = Speech()
    for id, apex_s in ((1, 1.0), (2, 1.3)):
        speech.hear(syllable(id, apex_s))
    told = {span.id: span for span in speech.hear(syllable(3, 1.6))}
    assert {id: span.kind for id, span in told.items()} == {1: "speech", 2: "other", 3: "other"}
    assert not told[1].final
    assert speech.goes_on(syllable(4, 1.9))
    assert not speech.goes_on(syllable(4, 1.9, mouth_share=0.1))
    speech.hear(syllable(4, 1.9))
    assert speech.end(2.2) == []
    (stretch,) = speech.end(3.3)
    assert (stretch.id, stretch.kind, stretch.final) == (1, "speech", True)
    assert (stretch.onset_s, stretch.offset_s) == pytest.approx((0.9, 2.0))


def test_those_far_apart_those_of_the_brows_and_those_of_noise_are_no_speech(syllable):
    speech = Speech()
    apart = [syllable(i, 2.0 * i) for i in range(4)]
    brows = [syllable(10 + i, 20 + 0.3 * i, mouth_share=0.1) for i in range(4)]
    noise = [syllable(20 + i, 30 + 0.3 * i, snr=1.5) for i in range(4)]
    spans = apart + brows + noise
    assert [span for one in spans for span in speech.hear(one)] == spans


def test_one_movement_that_is_judged_several_times_is_no_speech(syllable):
    speech = Speech()
    same = [syllable(i, 1.0 + 0.02 * i) for i in range(4)]
    assert [span for one in same for span in speech.hear(one)] == same
