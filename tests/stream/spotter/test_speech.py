from dataclasses import fields, replace

import pytest

from merau.stream.spotter.rules import CandidateFeatures
from merau.stream.spotter.span import Span
from merau.stream.spotter.speech import SpeechMerger


@pytest.fixture
def mouth_movement(make_crops):
    """A short movement of the mouth that was classified as a micro-expression."""
    (crop,) = make_crops([], [0.0])
    nothing = CandidateFeatures(**{field.name: 0 for field in fields(CandidateFeatures)})

    def make(id: int, apex_s: float, mouth_share: float = 0.9, snr: float = 5.0) -> Span:
        features = replace(nothing, mouth_share=mouth_share, snr=snr)
        return Span(1, id, apex_s - 0.1, apex_s, apex_s + 0.1, "micro", 1.0, True, crop, crop, features)

    return make


def test_single_mouth_movement_is_unchanged(mouth_movement):
    speech = SpeechMerger()
    span = mouth_movement(1, 1.0)
    assert speech.push(span) == [span]
    assert speech.flush(5.0) == []


def test_three_in_a_row_become_speech_with_the_first_id(mouth_movement):
    speech = SpeechMerger()
    for id, apex_s in ((1, 1.0), (2, 1.3)):
        speech.push(mouth_movement(id, apex_s))
    corrected = {span.id: span for span in speech.push(mouth_movement(3, 1.6))}
    assert {id: span.kind for id, span in corrected.items()} == {1: "speech", 2: "other", 3: "other"}
    assert not corrected[1].final
    assert speech.contains(mouth_movement(4, 1.9))
    assert not speech.contains(mouth_movement(4, 1.9, mouth_share=0.1))
    speech.push(mouth_movement(4, 1.9))
    assert speech.flush(2.2) == []
    (segment,) = speech.flush(3.3)
    assert (segment.id, segment.kind, segment.final) == (1, "speech", True)
    assert (segment.onset_s, segment.offset_s) == pytest.approx((0.9, 2.0))


def test_distant_brow_and_noise_movements_are_no_speech(mouth_movement):
    speech = SpeechMerger()
    apart = [mouth_movement(i, 2.0 * i) for i in range(4)]
    brows = [mouth_movement(10 + i, 20 + 0.3 * i, mouth_share=0.1) for i in range(4)]
    noise = [mouth_movement(20 + i, 30 + 0.3 * i, snr=1.5) for i in range(4)]
    spans = apart + brows + noise
    assert [span for one in spans for span in speech.push(one)] == spans


def test_one_movement_reported_several_times_is_no_speech(mouth_movement):
    speech = SpeechMerger()
    same = [mouth_movement(i, 1.0 + 0.02 * i) for i in range(4)]
    assert [span for one in same for span in speech.push(one)] == same
