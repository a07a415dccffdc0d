"""How well micro-expressions are spotted.

Matching by intersection over union, precision, recall, F1 and delays.

A detection is correct when it overlaps a micro-expression with an intersection over union (IoU) of at least 0.5, one to
one, as in the spotting challenge of the Micro-Expression Grand Challenge (MEGC).
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

IOU = 0.5


@dataclass(frozen=True)
class Detection:
    """A final event, and the times in the stream at which it was reported.

    Attributes:
        kind: The kind of movement, such as "micro" or "blink".
        onset_s: Onset on the clip's clock.
        apex_s: Apex on the clip's clock.
        offset_s: Offset on the clip's clock.
        provisional_s: When the event was first reported.
        final_s: When it was reported for the last time.
        label: The class that the recognizer gives it; "" for a movement that it does not classify.
        uncertain: Whether the class is not likely enough to be named.
    """

    kind: str
    onset_s: float
    apex_s: float
    offset_s: float
    provisional_s: float
    final_s: float
    label: str = ""
    uncertain: bool = False


@dataclass(frozen=True)
class ClipResult:
    """The ground truth of one clip, and what was detected in it.

    Attributes:
        spans: The ground truth; each span has kind, label, onset_s, apex_s and offset_s.
        detections: All detections of the clip.
        duration_s: Length of the clip.
    """

    spans: tuple[dict[str, Any], ...]
    detections: tuple[Detection, ...]
    duration_s: float


def iou(span: dict[str, Any], detection: Detection) -> float:
    """Return the intersection over union of two intervals."""
    common_s = min(span["offset_s"], detection.offset_s) - max(span["onset_s"], detection.onset_s)
    whole_s = max(span["offset_s"], detection.offset_s) - min(span["onset_s"], detection.onset_s)
    return max(0.0, common_s) / whole_s if whole_s > 0 else 0.0


def match(spans: Sequence[dict[str, Any]], detections: Sequence[Detection]) -> list[tuple[int, int]]:
    """Match spans with detections one to one.

    The best overlaps come first, none below `IOU`; the result is index pairs.
    """
    pairs = sorted(
        ((iou(span, detection), i, j) for i, span in enumerate(spans) for j, detection in enumerate(detections)),
        reverse=True,
    )
    matched: dict[int, int] = {}
    for overlap, i, j in pairs:
        if overlap >= IOU and i not in matched and j not in matched.values():
            matched[i] = j
    return sorted(matched.items())


def match_micro(result: ClipResult) -> tuple[list[dict[str, Any]], list[Detection], list[tuple[int, int]]]:
    """Return micro-expressions, detections of that kind, and their matches."""
    spans = [span for span in result.spans if span["kind"] == "micro"]
    detections = [detection for detection in result.detections if detection.kind == "micro"]
    return spans, detections, match(spans, detections)


def score(results: Iterable[ClipResult]) -> dict[str, Any]:
    """Score the detected micro-expressions of some clips.

    Times in ms, as median and 95th percentile.
    """
    true = detected = 0
    minutes = 0.0
    found: list[tuple[dict[str, Any], Detection]] = []
    false_during: Counter[str] = Counter()
    for result in results:
        spans, detections, matches = match_micro(result)
        found += [(spans[i], detections[j]) for i, j in matches]
        unmatched = set(range(len(detections))) - {j for _, j in matches}
        false_during.update(overlapped_kind(result.spans, detections[j]) for j in unmatched)
        true, detected, minutes = true + len(spans), detected + len(detections), minutes + result.duration_s / 60
    errors_ms = [1e3 * (detection.apex_s - span["apex_s"]) for span, detection in found]
    return {
        "minutes": round(minutes, 2),
        "true": true,
        "detected": detected,
        "found": len(found),
        "precision": share(len(found), detected),
        "recall": share(len(found), true),
        "f1": share(2 * len(found), true + detected),
        "false_per_minute": round((detected - len(found)) / minutes, 2) if minutes else None,
        "false_during": dict(false_during),
        "apex_error_ms": _spread([abs(error) for error in errors_ms]),
        "apex_bias_ms": round(statistics.median(errors_ms), 1) if errors_ms else None,
        "onset_error_ms": _spread([abs(1e3 * (event.onset_s - span["onset_s"])) for span, event in found]),
        "offset_error_ms": _spread([abs(1e3 * (event.offset_s - span["offset_s"])) for span, event in found]),
        "provisional_after_apex_ms": _spread([1e3 * (event.provisional_s - span["apex_s"]) for span, event in found]),
        "final_after_apex_ms": _spread([1e3 * (event.final_s - span["apex_s"]) for span, event in found]),
    }


def score_classes(results: Iterable[ClipResult]) -> dict[str, Any]:
    """Score spotting and classification together.

    A detection is right when its span has the same label.
    """
    pairs: list[tuple[dict[str, Any], Detection]] = []
    true = detected = 0
    for result in results:
        spans, detections, matches = match_micro(result)
        pairs += [(spans[i], detections[j]) for i, j in matches]
        true, detected = true + len(spans), detected + len(detections)
    right = sum(span["label"] == detection.label for span, detection in pairs)
    certain = [(span, detection) for span, detection in pairs if not detection.uncertain]
    return {
        "true": true,
        "detected": detected,
        "found": len(pairs),
        "f1": share(2 * len(pairs), true + detected),
        "right_of_found": share(right, len(pairs)),
        "f1_with_class": share(2 * right, true + detected),
        "certain_of_found": share(len(certain), len(pairs)),
        "right_of_certain": share(sum(span["label"] == found.label for span, found in certain), len(certain)),
    }


def kind_table(results: Iterable[ClipResult]) -> dict[str, dict[str, int]]:
    """Count true kinds by the kind of the detection that overlaps them most.

    A span without any overlapping detection counts as "missed"; the row "nothing" counts detections without a span.
    """
    table: dict[str, Counter[str]] = {}
    for result in results:
        for span in result.spans:
            best = max(result.detections, key=lambda detection: iou(span, detection), default=None)
            kind = best.kind if best and iou(span, best) > 0 else "missed"
            table.setdefault(span["kind"], Counter())[kind] += 1
        for detection in result.detections:
            if overlapped_kind(result.spans, detection) == "nothing":
                table.setdefault("nothing", Counter())[detection.kind] += 1
    return {kind: dict(counts) for kind, counts in table.items()}


def overlapped_kind(spans: Sequence[dict[str, Any]], detection: Detection) -> str:
    """Return the kind of the span that a detection overlaps most.

    It is "nothing" where it overlaps none.
    """
    best = max(spans, key=lambda span: iou(span, detection), default=None)
    return best["kind"] if best and iou(best, detection) > 0 else "nothing"


def share(part: int, whole: int) -> float | None:
    """Return `part / whole` rounded to 3 decimals; None where `whole` is 0."""
    return round(part / whole, 3) if whole else None


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"median": round(float(np.median(values)), 1), "p95": round(float(np.percentile(values, 95)), 1)}
