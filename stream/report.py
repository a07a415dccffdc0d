"""One recording as one HTML file that needs nothing else: a timeline, a card per expression, a table of the rest."""

import base64
import math
from collections import Counter
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from merau.engine.bundle import Bundle
from merau.stream.events import KINDS, Event
from merau.stream.formatting import AU_NAMES, KIND_NAMES
from merau.stream.formatting import format_timestamp as clock
from merau.stream.summary import EXPRESSIONS, MotionTrace, Summary, TrackSummary

PX_PER_S = 1  # a timeline that would be denser than this scrolls sideways
PLOT_PX = 150


def render_report(
    summary: Summary,
    *,
    elapsed_s: float,
    bundle: Bundle,
    truth: list[dict[str, Any]] | None = None,
) -> str:
    """The report as HTML text.

    `bundle` is the recognizer's; `truth` are spans known to be in the recording, each with kind, onset_s, apex_s,
    offset_s and aus, drawn above what was found.
    """
    events = summary.events
    expressions = [event for event in events if event.kind in EXPRESSIONS]
    others = [event for event in events if event.kind not in EXPRESSIONS]
    seconds = max(summary.duration_s, 0.1)
    body = [
        _head(summary, seconds, elapsed_s),
        _counts(events),
        _legend(truth is not None),
        *(_timeline(track, events, seconds, truth) for track in summary.tracks.values()),
        _nobody(summary),
        f"<h2>Expressions</h2><div class=cards>{''.join(map(_card, expressions))}</div>" if expressions else "",
        _others(others),
        _notes(bundle),
    ]
    style = files("merau.stream").joinpath("report.css").read_text(encoding="utf-8")
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{escape(Path(summary.source).name)} · merau-live</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _head(summary: Summary, seconds: float, elapsed_s: float) -> str:
    people = len(summary.tracks)
    facts = [
        clock(seconds),
        f"{summary.frames} frames",
        f"{people} face{'' if people == 1 else 's'}",
        f"analysed in {elapsed_s:.1f} s",
        f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC",
    ]
    name = escape(Path(summary.source).name)
    return f"<header><p class=brand>merau-live</p><h1>{name}</h1><p>{' · '.join(facts)}</p></header>"


def _counts(events: list[Event]) -> str:
    counts = Counter(event.kind for event in events)
    boxes = [
        f'<li class="{kind}{"" if counts[kind] else " none"}"><b>{counts[kind]}</b> {_plural(kind, counts[kind])}</li>'
        for kind in KINDS
    ]
    return f"<ul class=counts>{''.join(boxes)}</ul>"


def _plural(kind: str, count: int) -> str:
    return KIND_NAMES[kind] + ("" if count == 1 or kind == "speech" else "s")


def _legend(with_truth: bool) -> str:
    truth = "<span><i class=truth></i>known to be there</span>" if with_truth else ""
    return (
        "<h2>Timeline</h2><p class=legend><span><i class=motion></i>motion of the face, strongest region</span>"
        f"<span><i class=noise></i>this person's noise floor</span><span><i class=apex></i>apex</span>{truth}</p>"
    )


def _timeline(
    track: TrackSummary,
    events: list[Event],
    seconds: float,
    truth: list[dict[str, Any]] | None,
) -> str:
    """One face: the spans as links to their cards over the curve of its motion."""
    mine = [event for event in events if event.track == track.track]
    mine.sort(key=lambda event: event.onset_s - event.offset_s)  # the longest first: a short one lies on top of it
    top_px = _top(track.trace)
    marks = "".join(_mark(event, seconds) for event in mine)
    known = "".join(_known(span, seconds) for span in truth or [])
    ticks = "".join(f'<span style="left:{100 * t / seconds:.3f}%">{clock(t)}</span>' for t in _ticks(seconds))
    left_out = ", ".join(f"{count} frames: {escape(reason)}" for reason, count in track.not_analysed.most_common(3))
    return (
        f"<section class=track><h3>Face {track.track} <small>{clock(track.from_s)} to {clock(track.to_s)}"
        f"{f', not analysed: {left_out}' if left_out else ''}</small></h3>"
        f"<div class=scroll><div class=plot style='min-width:min(12000px,{seconds * PX_PER_S:.0f}px)'>"
        f"{f'<div class=known>{known}</div>' if truth is not None else ''}"
        f"<div class=area>{_curves(track.trace, seconds, top_px)}"
        f"<span class=scale>{top_px:g} px</span>{marks}</div><div class=axis>{ticks}</div></div></div></section>"
    )


def _mark(event: Event, seconds: float) -> str:
    apex = 100 * (event.apex_s - event.onset_s) / max(event.offset_s - event.onset_s, 1e-3)
    title = f"{KIND_NAMES[event.kind]} at {clock(event.apex_s, exact=True)} {event.label}"
    inside = f'<i class=apex style="left:{min(max(apex, 0), 100):.1f}%"></i>'
    place = _place(event.onset_s, event.offset_s, seconds)
    where = f'class="mark {event.kind}" style="{place}" title="{escape(title)}"'
    if event.kind in EXPRESSIONS:
        return f'<a {where} href="#{_anchor(event)}">{inside}</a>'
    return f"<i {where}>{inside}</i>"


def _known(span: dict[str, Any], seconds: float) -> str:
    units = " ".join(f"AU{unit}" for unit in span["aus"])
    title = escape(f"{span['kind']} {units} at {clock(span['apex_s'], exact=True)}")
    place = _place(span["onset_s"], span["offset_s"], seconds)
    return f'<i class="{escape(span["kind"])}" style="{place}" title="{title}"></i>'


def _place(start_s: float, end_s: float, seconds: float) -> str:
    return f"left:{100 * start_s / seconds:.3f}%;width:{100 * max(end_s - start_s, 0) / seconds:.3f}%"


def _top(trace: MotionTrace) -> float:
    """The upper end of the scale in px: a round number above the strongest motion, so that no peak is cut."""
    known = trace.motion_px[~np.isnan(trace.motion_px)]
    highest = max(float(known.max(initial=0)), float(np.nan_to_num(trace.noise_px).max()), 0.5)
    step = 10 ** math.floor(math.log10(highest))
    return next(m * step for m in (1, 1.5, 2, 3, 5, 7, 10) if m * step >= highest)


def _curves(trace: MotionTrace, seconds: float, top_px: float) -> str:
    scale = f'viewBox="0 0 {seconds:.3f} {PLOT_PX}" preserveAspectRatio=none aria-hidden=true'
    motion = _path(trace.motion_px, trace.bin_s, top_px)
    noise = _path(trace.noise_px, trace.bin_s, top_px)
    return f'<svg {scale}><path class=motion d="{motion}"/><path class=noise d="{noise}"/></svg>'


def _path(values: np.ndarray, bin_s: float, top_px: float) -> str:
    """An SVG path through the known bins, broken where the face was away."""
    known = np.flatnonzero(~np.isnan(values))
    steps, last = [], -1.0e9
    for i in known:
        t_s = (i + 0.5) * bin_s
        command = "L" if t_s - last < max(0.5, 1.5 * bin_s) else "M"
        steps.append(f"{command}{t_s:.3f} {PLOT_PX * (1 - values[i] / top_px):.1f}")
        last = t_s
    return "".join(steps)


def _ticks(seconds: float) -> list[float]:
    step = next((s for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600) if seconds / s <= 8), 3600)
    return [float(t) for t in np.arange(0, seconds, step)]


def _card(event: Event) -> str:
    return (
        f'<article id="{_anchor(event)}" class={event.kind}><header><span class=kind>{KIND_NAMES[event.kind]}</span>'
        f"{_verdict(event)}<span class=when>{clock(event.apex_s, exact=True)} · face {event.track}</span></header>"
        f"{_pictures(event)}{_course(event)}"
        f"<div class=bars><div><h4>Action Units</h4>{_units(event.aus)}</div>"
        f"<div><h4>Expression</h4>{_bars(event.probabilities)}</div></div>"
        f"<footer>strength {event.strength:.2f} px · picture quality {100 * event.quality:.0f} %</footer></article>"
    )


def _verdict(event: Event) -> str:
    if event.uncertain:
        return f"<b class=uncertain>uncertain</b><span>perhaps {escape(event.label)}</span>"
    return f"<b>{escape(event.label)}</b><span>{100 * event.probabilities.get(event.label, 0):.0f} %</span>"


def _pictures(event: Event) -> str:
    pictures = [
        (event.onset_jpeg, "jpeg", f"onset {clock(event.onset_s, exact=True)}"),
        (event.apex_jpeg, "jpeg", f"apex {clock(event.apex_s, exact=True)}"),
        (event.flow_png, "png", "motion between"),
    ]
    figures = [
        f'<figure><img alt="{caption}" src="data:image/{form};base64,{base64.b64encode(data).decode()}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for data, form, caption in pictures
        if data
    ]
    return f"<div class=pictures>{''.join(figures)}</div>" if figures else ""


def _course(event: Event) -> str:
    """Onset to apex to offset, to scale."""
    rise_ms, fall_ms = 1000 * (event.apex_s - event.onset_s), 1000 * (event.offset_s - event.apex_s)
    share = 100 * rise_ms / max(rise_ms + fall_ms, 1)
    end = "" if event.final else " (its end was not seen)"
    return (
        f'<div class=course><i style="width:{share:.1f}%"></i></div><p class=times><span>rises {rise_ms:.0f} ms</span>'
        f"<span>{rise_ms + fall_ms:.0f} ms in all{end}</span><span>falls {fall_ms:.0f} ms</span></p>"
    )


def _units(aus: dict[str, float]) -> str:
    """The likeliest Action Units."""
    ranked = sorted(aus.items(), key=lambda item: -item[1])
    return _bars({f"AU{unit} {AU_NAMES.get(unit, '')}": probability for unit, probability in ranked[:4]})


def _bars(values: dict[str, float]) -> str:
    rows = [
        f'<dt>{escape(name)}</dt><dd><i style="width:{100 * value:.0f}%"></i><span>{100 * value:.0f} %</span></dd>'
        for name, value in sorted(values.items(), key=lambda item: -item[1])
    ]
    return f"<dl>{''.join(rows)}</dl>"


def _nobody(summary: Summary) -> str:
    return "" if summary.tracks else "<p class=empty>No face was seen in this recording.</p>"


def _others(events: list[Event]) -> str:
    if not events:
        return ""
    rows = "".join(
        f"<tr><td>{clock(event.onset_s, exact=True)}</td><td>{event.track}</td>"
        f"<td class={event.kind}>{KIND_NAMES[event.kind]}</td><td>{1000 * (event.offset_s - event.onset_s):.0f} ms</td>"
        f"<td>{event.strength:.2f} px</td></tr>"
        for event in events
    )
    head = "<tr><th>onset</th><th>face</th><th>kind</th><th>duration</th><th>strength</th></tr>"
    return (
        "<h2>Kept apart</h2><p>Blinks, speech, head movements and what fits no kind are named, so that they are not"
        f" taken for expressions.</p><div class=scroll><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
    )


def _notes(bundle: Bundle) -> str:
    return (
        "<h2>How to read this</h2><div class=notes>"
        "<p><b>Onset</b> is where a movement begins, <b>apex</b> where it is strongest, <b>offset</b> where it is "
        "gone. A <b>micro-expression</b> lasts half a second at most from onset to offset, a macro-expression "
        "longer.</p>"
        "<p>The curve is the strongest motion of a region of the face over 0.2 s, in pixels of a face crop 128 pixels "
        "wide, head motion taken out. The noise floor is learned from this person and camera.</p>"
        "<p class=wheel><i></i><span>In the motion pictures the colour is the direction in which the skin moves, as on "
        "this wheel, and its depth is how far. White is still.</span></p>"
        "<p><b>Uncertain</b> means that no expression is likely enough to be named. Probabilities are estimates of a "
        "model, not facts about what a person feels.</p>"
        f"<p>Recognizer {escape(bundle.name)}, sha256 {bundle.sha256[:16]}; its card is told by merau doctor.</p></div>"
    )


def _anchor(event: Event) -> str:
    return escape(f"event-{event.id}")
