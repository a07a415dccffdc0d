"""The figures of bench_spot, on spans and events written by hand."""

from typing import Any

from merau.trainers.data.synth.clips import ClipPlan
from scripts.bench_spot import Clip, Heard, Said, clips_of, kinds, score


def span(kind: str, onset_s: float, apex_s: float, offset_s: float) -> dict[str, Any]:
    return {"kind": kind, "onset_s": onset_s, "apex_s": apex_s, "offset_s": offset_s}


SPANS = (span("micro", 1.0, 1.2, 1.4), span("blink", 3.0, 3.1, 3.3), span("micro", 5.0, 5.2, 5.4))
SAID = (
    Said("micro", 1.05, 1.22, 1.45, 1.4, 1.6),
    Said("micro", 1.1, 1.2, 1.3, 1.4, 1.6),  # the same again: one of the two is false
    Said("micro", 3.0, 3.1, 3.3, 3.3, 3.5),
    Said("blink", 5.0, 5.2, 5.4, 5.4, 5.6),
)
HEARD = [Heard(Clip("mixed", 30.0, 1.0, "face.png", ClipPlan(()), 0), SPANS, SAID, 30.0)]


def test_one_event_finds_one_micro_expression():
    figures = score(HEARD)
    assert (figures["true"], figures["said"], figures["found"]) == (2, 3, 1)
    assert (figures["precision"], figures["recall"], figures["f1"]) == (0.333, 0.5, 0.4)
    assert figures["false_per_minute"] == 4.0
    assert figures["false_during"] == {"micro": 1, "blink": 1}
    assert figures["apex_error_ms"]["median"] == 20.0
    assert figures["final_after_apex_ms"]["median"] == 400.0


def test_kinds_tell_what_was_named_what():
    assert kinds(HEARD) == {"micro": {"micro": 1, "blink": 1}, "blink": {"micro": 1}}


def test_test_clips_show_no_face_of_the_tuning_clips():
    tuning, test = ({(clip.file, clip.plan.face) for clip in clips_of(split, [30.0], 6, 0)}
                    for split in ("tuning", "test"))  # fmt: skip
    assert len(tuning) == len(test) == 6
    assert not tuning & test
