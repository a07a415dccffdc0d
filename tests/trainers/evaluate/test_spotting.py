"""The spotting metric, on spans and detections written by hand."""

from typing import Any

import pytest

from merau.trainers.evaluate.spotting import ClipResult, Detection, iou, kind_table, match, score, score_classes


def span(kind: str, onset_s: float, apex_s: float, offset_s: float, label: str = "") -> dict[str, Any]:
    return {"kind": kind, "onset_s": onset_s, "apex_s": apex_s, "offset_s": offset_s, "label": label}


SPANS = (span("micro", 1.0, 1.2, 1.4), span("blink", 3.0, 3.1, 3.3), span("micro", 5.0, 5.2, 5.4))
DETECTIONS = (
    Detection("micro", 1.05, 1.22, 1.45, 1.4, 1.6),
    Detection("micro", 1.1, 1.2, 1.3, 1.4, 1.6),  # the same one again: one of the two is false
    Detection("micro", 3.0, 3.1, 3.3, 3.3, 3.5),
    Detection("blink", 5.0, 5.2, 5.4, 5.4, 5.6),
)
RESULTS = [ClipResult(SPANS, DETECTIONS, 30.0)]


def test_iou_is_shared_over_whole_time():
    assert iou(SPANS[0], DETECTIONS[0]) == pytest.approx(0.35 / 0.45)
    assert iou(SPANS[0], DETECTIONS[2]) == 0
    assert iou(span("micro", 1.0, 1.0, 1.0), Detection("micro", 1.0, 1.0, 1.0, 1.0, 1.0)) == 0


def test_match_takes_the_best_overlap_once():
    assert match(SPANS, DETECTIONS) == [(0, 0), (1, 2), (2, 3)]
    assert match(SPANS, ()) == []


def test_score_counts_each_micro_expression_once():
    figures = score(RESULTS)
    assert (figures["true"], figures["detected"], figures["found"]) == (2, 3, 1)
    assert (figures["precision"], figures["recall"], figures["f1"]) == (0.333, 0.5, 0.4)
    assert figures["false_per_minute"] == 4.0
    assert figures["false_during"] == {"micro": 1, "blink": 1}
    assert figures["apex_error_ms"]["median"] == 20.0
    assert figures["provisional_after_apex_ms"]["median"] == 200.0
    assert figures["final_after_apex_ms"]["median"] == 400.0


def test_score_of_no_clip_has_no_rates():
    figures = score([])
    assert (figures["minutes"], figures["true"], figures["f1"], figures["false_per_minute"]) == (0, 0, None, None)
    assert figures["apex_error_ms"] is None


def test_kind_table_counts_true_by_detected_kind():
    assert kind_table(RESULTS) == {"micro": {"micro": 1, "blink": 1}, "blink": {"micro": 1}}
    alone = ClipResult((), (DETECTIONS[3],), 30.0)
    assert kind_table([alone, ClipResult(SPANS[:1], (), 30.0)]) == {"nothing": {"blink": 1}, "micro": {"missed": 1}}


def test_score_classes_needs_overlap_and_the_label():
    spans = (
        span("micro", 1.0, 1.2, 1.4, "positive"),
        span("micro", 3.0, 3.2, 3.4, "negative"),
        span("micro", 6.0, 6.2, 6.4, "surprise"),
    )
    detections = (
        Detection("micro", 1.0, 1.2, 1.4, 1.3, 1.5, "positive"),
        Detection("micro", 3.0, 3.2, 3.4, 3.3, 3.5, "positive", uncertain=True),
        Detection("micro", 8.0, 8.2, 8.4, 8.3, 8.5, "negative"),
    )
    figures = score_classes([ClipResult(spans, detections, 20.0)])
    assert (figures["true"], figures["detected"], figures["found"]) == (3, 3, 2)
    assert figures["f1"] == pytest.approx(0.667)
    assert figures["f1_with_class"] == pytest.approx(0.333)
    assert (figures["right_of_found"], figures["certain_of_found"], figures["right_of_certain"]) == (0.5, 0.5, 1.0)
