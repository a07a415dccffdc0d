"""The demo clip, its ground truth, and the comparison of events with ground truth.

demo.mp4 is the public-domain portrait of an astronaut (NASA), animated by `merau-lab synth`. demo.truth.json lists the
movements that it shows.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merau.stream.events import Event
from merau.stream.formatting import event_summary, format_timestamp

CLIP = Path(__file__).with_name("demo.mp4")
IOU = 0.5  # a span is found from this overlap on, as in the Micro-Expression Grand Challenge


@dataclass(frozen=True)
class Match:
    """A span of the ground truth and the event that was reported for it; one of them may be None."""

    span: dict[str, Any] | None
    event: Event | None

    @property
    def verdict(self) -> str:
        """Whether the span was found, in a few words."""
        if self.span is None:
            return "not in the clip"
        if self.event is None:
            return "missed"
        if self.span["kind"] != self.event.kind:
            return f"named {self.event.kind}"
        if (iou := temporal_iou(self.span, self.event)) < IOU:
            return f"overlaps by {100 * iou:.0f} % only"
        return f"found, apex {round(1000 * (self.event.apex_s - self.span['apex_s'])):+d} ms"

    def fields(self) -> dict[str, Any]:
        """Return the span as JSON fields, with the id of its event."""
        return {**(self.span or {}), "event": self.event.id if self.event else None, "verdict": self.verdict}


def read_ground_truth() -> list[dict[str, Any]]:
    """Read the clip's spans by onset: kind, label, onset_s, apex_s, offset_s, and the Action Units that move."""
    spans = json.loads(CLIP.with_suffix(".truth.json").read_text())["spans"]
    truth = [
        {name: span[name] for name in ("kind", "label", "onset_s", "apex_s", "offset_s")} | {"aus": _action_units(span)}
        for span in spans
    ]
    return sorted(truth, key=lambda span: span["onset_s"])


def _action_units(span: dict[str, Any]) -> list[str]:
    """Return the Action Units of a span's channels, "12 left" or "gaze_x"; 45, the blink itself, is left out."""
    channels = {channel.split()[0] for pulse in span["pulses"] for channel in pulse["amounts"]}
    return sorted((unit for unit in channels if unit.isdigit() and unit != "45"), key=int)


def temporal_iou(span: dict[str, Any], event: Event) -> float:
    """Return intersection over union of the two durations."""
    intersection_s = min(span["offset_s"], event.offset_s) - max(span["onset_s"], event.onset_s)
    union_s = max(span["offset_s"], event.offset_s) - min(span["onset_s"], event.onset_s)
    return max(intersection_s, 0.0) / union_s if union_s > 0 else 0.0


def match_events(spans: list[dict[str, Any]], events: list[Event]) -> list[Match]:
    """Match spans and events one to one; events that find their span come first, then the largest overlaps.

    Returns:
        All spans and events by time, those without a counterpart too.
    """
    ious = {(i, j): temporal_iou(span, event) for i, span in enumerate(spans) for j, event in enumerate(events)}
    matched: dict[int, int] = {}
    for i, j in sorted(ious, key=lambda ij: (_finds(events[ij[1]], spans[ij[0]]), ious[ij]), reverse=True):
        if ious[i, j] > 0 and i not in matched and j not in matched.values():
            matched[i] = j
    matches = [Match(span, events[matched[i]] if i in matched else None) for i, span in enumerate(spans)]
    extra = [Match(None, event) for j, event in enumerate(events) if j not in matched.values()]
    return sorted(matches + extra, key=_start_s)


def _finds(event: Event, span: dict[str, Any]) -> bool:
    return bool(span["kind"] == event.kind) and temporal_iou(span, event) >= IOU


def _start_s(match: Match) -> float:
    return match.span["onset_s"] if match.span else match.event.onset_s if match.event else 0.0


def comparison_table(matches: list[Match]) -> str:
    """Return ground truth and events side by side, as lines of text."""
    rows = [
        ("ground truth", "reported", ""),
        *((_describe_span(match.span), _describe_event(match.event), match.verdict) for match in matches),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{a:<{widths[0]}}   {b:<{widths[1]}}   {c}".rstrip() for a, b, c in rows)


def _describe_span(span: dict[str, Any] | None) -> str:
    if span is None:
        return "-"
    units = " ".join(f"AU{unit}" for unit in span["aus"])
    summary = " · ".join(part for part in (span["kind"], span["label"], units) if part)
    return f"{format_timestamp(span['apex_s'], exact=True)} {summary}"


def _describe_event(event: Event | None) -> str:
    return f"{format_timestamp(event.apex_s, exact=True)} {event_summary(event)}" if event else "-"
