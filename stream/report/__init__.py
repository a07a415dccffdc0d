"""The report: one recording as one HTML file that needs no other file.

It has a timeline for each face, a card for each expression, and a table of the other movements.
"""

import base64
import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from merau.engine.bundle import Bundle
from merau.engine.html import render
from merau.stream.events import KINDS, Event
from merau.stream.formatting import AU_NAMES, KIND_NAMES, format_timestamp, kind_name, percent, pluralize
from merau.stream.summary import EXPRESSIONS, MotionTrace, Summary, TrackSummary

PX_PER_S = 1  # a longer timeline than the page has room for scrolls sideways
MAX_WIDTH_PX = 12_000
PLOT_PX = 150
TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
MAX_TICKS = 8
SHOWN_UNITS = 4
SHOWN_REASONS = 3


def render_report(
    summary: Summary,
    *,
    elapsed_s: float,
    bundle: Bundle,
    truth: list[dict[str, Any]] | None = None,
) -> str:
    """Return the report as HTML.

    Args:
        summary: Events and tracks of the recording.
        elapsed_s: How long the analysis took.
        bundle: The recognizer's bundle.
        truth: Ground truth, shown above the events: spans with kind, onset_s, apex_s, offset_s and aus.
    """
    seconds = max(summary.duration_s, 0.1)
    expressions = [event for event in summary.events if event.kind in EXPRESSIONS]
    return render(
        __name__,
        "report.html.j2",
        name=Path(summary.source).name,
        facts=_facts(summary, seconds, elapsed_s),
        notes=[str(note) for note in summary.notes],
        counts=_counts(summary.events),
        has_truth=truth is not None,
        truth=[_truth_mark(span, seconds) for span in truth or []],
        timelines=[_timeline(track, summary.events, seconds) for track in summary.tracks.values()],
        ticks=_ticks(seconds),
        plot=f"0 0 {seconds:.3f} {PLOT_PX}",
        width_px=min(MAX_WIDTH_PX, round(seconds * PX_PER_S)),
        cards=[_card(event) for event in expressions],
        others=[_other(event) for event in summary.events if event.kind not in EXPRESSIONS],
        bundle=bundle,
        heads=sorted({event.head_sha256 for event in expressions if event.head_sha256}),
    )


@dataclass(frozen=True)
class _Mark:
    """A span on a timeline."""

    kind: str
    title: str
    style: str
    apex: str = ""  # where its apex is, in percent of its width
    link: str = ""  # the id of its card; "" where it has none


def _facts(summary: Summary, seconds: float, elapsed_s: float) -> list[str]:
    return [
        format_timestamp(seconds),
        pluralize(summary.frames, "frame"),
        pluralize(len(summary.tracks), "face"),
        f"analysed in {elapsed_s:.1f} s",
        f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC",
    ]


def _counts(events: list[Event]) -> list[dict[str, Any]]:
    counts = Counter(event.kind for event in events)
    return [{"kind": kind, "number": counts[kind], "name": kind_name(kind, counts[kind])} for kind in KINDS]


def _timeline(track: TrackSummary, events: list[Event], seconds: float) -> dict[str, Any]:
    """Return the marks and curves of one face."""
    own = [event for event in events if event.track == track.track]
    own.sort(key=lambda event: event.onset_s - event.offset_s)  # the longest first, so that shorter ones lie on top
    top_px = _scale_px(track.trace)
    return {
        "track": track.track,
        "visible": f"{format_timestamp(track.from_s)} to {format_timestamp(track.to_s)}",
        "not_analysed": [f"{n} frames: {reason}" for reason, n in track.not_analysed.most_common(SHOWN_REASONS)],
        "scale": f"{top_px:g} px",
        "motion": _path(track.trace.motion_px, track.trace.bin_s, top_px),
        "noise": _path(track.trace.noise_px, track.trace.bin_s, top_px),
        "marks": [_event_mark(event, seconds) for event in own],
    }


def _event_mark(event: Event, seconds: float) -> _Mark:
    apex = 100 * (event.apex_s - event.onset_s) / max(event.offset_s - event.onset_s, 1e-3)
    return _Mark(
        event.kind,
        f"{KIND_NAMES[event.kind]} at {format_timestamp(event.apex_s, exact=True)} {event.label}",
        _position(event.onset_s, event.offset_s, seconds),
        f"{min(max(apex, 0), 100):.1f}%",
        _anchor(event) if event.kind in EXPRESSIONS else "",
    )


def _truth_mark(span: dict[str, Any], seconds: float) -> _Mark:
    units = " ".join(f"AU{unit}" for unit in span["aus"])
    title = f"{span['kind']} {units} at {format_timestamp(span['apex_s'], exact=True)}"
    return _Mark(span["kind"], title, _position(span["onset_s"], span["offset_s"], seconds))


def _position(start_s: float, end_s: float, seconds: float) -> str:
    return f"left:{100 * start_s / seconds:.3f}%;width:{100 * max(end_s - start_s, 0) / seconds:.3f}%"


def _ticks(seconds: float) -> list[dict[str, str]]:
    hours = math.ceil(seconds / 3600 / MAX_TICKS)
    step_s = next((step for step in TICK_STEPS_S if seconds / step <= MAX_TICKS), 3600 * hours)
    times_s = (float(t_s) for t_s in np.arange(0, seconds, step_s))
    return [{"left": f"{100 * t_s / seconds:.3f}%", "text": format_timestamp(t_s)} for t_s in times_s]


def _scale_px(trace: MotionTrace) -> float:
    """Return the upper end of the scale: a round number above the largest motion."""
    known = trace.motion_px[~np.isnan(trace.motion_px)]
    highest = max(float(known.max(initial=0)), float(np.nan_to_num(trace.noise_px).max()), 0.5)
    step = 10 ** math.floor(math.log10(highest))
    return float(next(m * step for m in (1, 1.5, 2, 3, 5, 7, 10) if m * step >= highest))


def _path(values: np.ndarray, bin_s: float, top_px: float) -> str:
    """Return an SVG path through the known bins, broken where the face was not analysed."""
    steps, last_s = [], -math.inf
    for i in np.flatnonzero(~np.isnan(values)):
        t_s = (i + 0.5) * bin_s
        command = "L" if t_s - last_s < max(0.5, 1.5 * bin_s) else "M"
        steps.append(f"{command}{t_s:.3f} {PLOT_PX * (1 - values[i] / top_px):.1f}")
        last_s = t_s
    return "".join(steps)


def _card(event: Event) -> dict[str, Any]:
    """Return what the card of an expression shows."""
    rise_ms, fall_ms = 1000 * (event.apex_s - event.onset_s), 1000 * (event.offset_s - event.apex_s)
    units = sorted(event.aus.items(), key=lambda item: -item[1])[:SHOWN_UNITS]
    return {
        "anchor": _anchor(event),
        "event": event,
        "kind": KIND_NAMES[event.kind],
        "probability": f"{percent(event.probabilities.get(event.label, 0))}%",
        "time": format_timestamp(event.apex_s, exact=True),
        "images": _images(event),
        "rise_share": f"{100 * rise_ms / max(rise_ms + fall_ms, 1):.1f}%",
        "rise_ms": round(rise_ms),
        "fall_ms": round(fall_ms),
        "total_ms": round(rise_ms + fall_ms),
        "units": _bars({f"AU{unit} {AU_NAMES.get(unit, '')}": probability for unit, probability in units}),
        "classes": _bars(event.probabilities),
        "strength": f"{event.strength:.2f} px",
        "quality": f"{100 * event.quality:.0f}%",
    }


def _images(event: Event) -> list[dict[str, str]]:
    images = (
        (event.onset_jpeg, "jpeg", f"onset {format_timestamp(event.onset_s, exact=True)}"),
        (event.apex_jpeg, "jpeg", f"apex {format_timestamp(event.apex_s, exact=True)}"),
        (event.flow_png, "png", "movement"),
    )
    return [
        {"caption": caption, "source": f"data:image/{form};base64,{base64.b64encode(data).decode()}"}
        for data, form, caption in images
        if data
    ]


def _bars(probabilities: dict[str, float]) -> list[dict[str, str]]:
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    return [{"name": name, "percent": f"{percent(probability)}%"} for name, probability in ranked]


def _other(event: Event) -> dict[str, Any]:
    return {
        "event": event,
        "kind": KIND_NAMES[event.kind],
        "onset": format_timestamp(event.onset_s, exact=True),
        "duration": f"{1000 * (event.offset_s - event.onset_s):.0f} ms",
        "strength": f"{event.strength:.2f} px",
    }


def _anchor(event: Event) -> str:
    return f"event-{event.id}"
