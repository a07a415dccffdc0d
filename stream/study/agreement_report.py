"""The agreement of coders as tables, as text, and as an HTML page with the disagreements to click through."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

import pandas

from merau.engine.html import render
from merau.engine.text import plain
from merau.stream.formatting import format_timestamp
from merau.stream.study.agreement import (
    Agreement,
    AgreementSettings,
    Detections,
    Difference,
    Disagreement,
    PairAgreement,
    Score,
    difference_figures,
)
from merau.stream.study.coded import CodedSpan, JointRecording

PLOT_MS = (100, 200, 300, 500, 1000, 2000, 5000)  # ends of the axes of a Bland-Altman plot


def score_rows(agreement: Agreement) -> pandas.DataFrame:
    """Return a row for each score: a, b, what, name, count_a, count_b, matched, score, value, low, high."""
    rows: list[tuple[object, ...]] = [
        (pair.a, pair.b, what, found.name, found.a, found.b, found.matched, name, *_values(getattr(found, name)))
        for pair in agreement.pairs
        for what, detections in (("kind", pair.kinds), ("class", pair.classes))
        for found in detections
        for name in ("precision", "recall", "f1")
    ]
    for pair in agreement.pairs:
        scores = [("bins", kind, "kappa", score) for kind, score in pair.bin_kappa.items()]
        scores += [("matched", "kind", "kappa", pair.kind_kappa), ("matched", "class", "kappa", pair.class_kappa)]
        scores += [("megc", "micro and macro", "f1", pair.megc_f1), ("megc", "micro", "strs", pair.strs)]
        rows += [
            (pair.a, pair.b, what, name, None, None, None, of, *_values(score)) for what, name, of, score in scores
        ]
    rows += [
        (None, None, "bins", kind, None, None, None, "alpha", *_values(score))
        for kind, score in agreement.alpha.items()
    ]
    columns = ["a", "b", "what", "name", "count_a", "count_b", "matched", "score", "value", "low", "high"]
    counts = dict.fromkeys(("count_a", "count_b", "matched"), "Int64")
    return pandas.DataFrame(rows, columns=columns).astype(counts)


def _values(score: Score) -> tuple[float | None, float | None, float | None]:
    return score.value, score.low, score.high


def difference_rows(agreement: Agreement) -> pandas.DataFrame:
    """Return a row for each two coders and edge, in ms, A minus B."""
    rows = []
    for pair in agreement.pairs:
        for difference in pair.differences:
            figures = difference_figures(difference)
            low, high = figures.pop("limits_ms")
            rows.append({"a": pair.a, "b": pair.b} | figures | {"limit_low_ms": low, "limit_high_ms": high})
    return pandas.DataFrame(rows)


def disagreement_rows(agreement: Agreement, recordings: Sequence[JointRecording]) -> pandas.DataFrame:
    """Return a row for each disagreement of each two coders."""
    rows = []
    for pair in agreement.pairs:
        for item in pair.disagreements:
            row: dict[str, object] = {
                "a": pair.a,
                "b": pair.b,
                "recording": recordings[item.recording].path,
                "what": item.what,
            }
            for side, span in (("a", item.a), ("b", item.b)):
                row |= {f"{side}_{name}": getattr(span, name, None) for name in CodedSpan.__dataclass_fields__}
            rows.append(row)
    return pandas.DataFrame(rows, columns=None if rows else ["a", "b", "recording", "what"])


def agreement_text(agreement: Agreement) -> str:
    """Return the main figures as lines of text."""
    lines = []
    for pair in agreement.pairs:
        rows: list[tuple[str, ...]] = [("", pair.a, pair.b, "both", "precision", "recall", "F1", "kappa of time bins")]
        for found in (*pair.kinds, *pair.classes):
            kappa = pair.bin_kappa.get(found.name)
            scores = [_text(score) for score in (found.precision, found.recall, found.f1)]
            counts = [str(number) for number in (found.a, found.b, found.matched)]
            rows.append((found.name, *counts, *scores, _text(kappa) if kappa else ""))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines += [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        lines.append(f"Kappa of matched movements: kind {_text(pair.kind_kappa)}, class {_text(pair.class_kappa)}.")
        lines.append(f"MEGC: F1 {_text(pair.megc_f1)}, STRS {_text(pair.strs)}.")
        lines += [_difference_text(difference) for difference in pair.differences]
        lines.append(f"Disagreements: {len(pair.disagreements)}.")
    alphas = ", ".join(f"{kind} {_text(score)}" for kind, score in agreement.alpha.items())
    return "\n".join([*lines, f"Krippendorff's alpha of time bins: {alphas}."])


def _text(score: Score) -> str:
    """Return a score with its interval: "0.83 (0.61 to 0.97)"."""
    if score.value is None:
        return "-"
    interval = "" if score.low is None else f" ({score.low:.2f} to {score.high:.2f})"
    return f"{score.value:.2f}{interval}"


def _difference_text(difference: Difference) -> str:
    figures = difference_figures(difference)
    low, high = figures["limits_ms"]
    return (
        f"{difference.edge}: median {figures['median_ms']:.0f} ms apart, 95% within {figures['p95_ms']:.0f} ms; "
        f"mean difference {figures['mean_ms']:+.0f} ms, limits of agreement {low:+.0f} to {high:+.0f} ms."
    )


def render_agreement(
    agreement: Agreement,
    recordings: Sequence[JointRecording],
    notes: Sequence[object],
    settings: AgreementSettings,
    folder: Path,
) -> str:
    """Return the page as HTML.

    Args:
        agreement: The scores.
        recordings: What was compared.
        notes: Sentences for its head.
        settings: How it was compared.
        folder: Where the page will lie: it shows recordings by their paths from there.
    """
    minutes = sum(recording.end_s for recording in recordings) / 60
    return render(
        "merau.stream.report",
        "agreement.html.j2",
        facts=[f"{len(recordings)} recordings", f"{minutes:.1f} minutes", f"compared: {', '.join(agreement.kinds)}"],
        notes=[str(note) for note in notes],
        settings=settings,
        pairs=[_pair(pair) for pair in agreement.pairs],
        alpha={kind: _text(score) for kind, score in agreement.alpha.items()},
        items=[_item(pair, item, recordings, folder) for pair in agreement.pairs for item in pair.disagreements],
        count=sum(len(pair.disagreements) for pair in agreement.pairs),
    )


def _pair(pair: PairAgreement) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "tables": [
            {"title": "Kinds", "with_kappa": True, "rows": [_row(found, pair) for found in pair.kinds]},
            {
                "title": "Classes of matched expressions",
                "with_kappa": False,
                "rows": [_row(found, pair) for found in pair.classes],
            },
        ],
        "kind_kappa": _text(pair.kind_kappa),
        "class_kappa": _text(pair.class_kappa),
        "megc_f1": _text(pair.megc_f1),
        "strs": _text(pair.strs),
        "plots": [_plot(difference) for difference in pair.differences],
    }


def _row(found: Detections, pair: PairAgreement) -> dict[str, Any]:
    kappa = pair.bin_kappa.get(found.name)
    return {
        "name": found.name,
        "counts": (found.a, found.b, found.matched),
        "scores": [_text(score) for score in (found.precision, found.recall, found.f1)],
        "kappa": _text(kappa) if kappa else "",
    }


def _plot(difference: Difference) -> dict[str, Any]:
    """Return a Bland-Altman plot: the difference of each pair over the duration of the movement."""
    figures = difference_figures(difference)
    low, high = figures["limits_ms"]
    most = max(abs(low), abs(high), float(abs(difference.difference_ms).max()), 1.0)
    end_ms = next((end for end in PLOT_MS if end >= most), most)
    longest_ms = max(float(difference.duration_ms.max()), 1.0)

    def top(value_ms: float) -> float:
        return round(50 - 50 * value_ms / end_ms, 2)

    pairs = zip(difference.duration_ms, difference.difference_ms, strict=True)
    return {
        "edge": difference.edge,
        "text": _difference_text(difference),
        "dots": [(round(100 * duration / longest_ms, 2), top(value)) for duration, value in pairs],
        "mean": top(figures["mean_ms"]),
        "limits": (top(low), top(high)),
        "end": f"{end_ms:.0f} ms",
        "longest": f"{longest_ms:.0f} ms",
    }


def _item(
    pair: PairAgreement, item: Disagreement, recordings: Sequence[JointRecording], folder: Path
) -> dict[str, Any]:
    recording = recordings[item.recording]
    start_s = min(span.onset_s for span in (item.a, item.b) if span)
    what = item.what.replace("only A", f"only {pair.a}").replace("only B", f"only {pair.b}")
    return {
        "recording": plain(PurePath(recording.path).name),
        "film": _film(recording.path, folder),
        "slowdown": recording.slowdown,
        "time": format_timestamp(start_s, exact=True),
        "what": plain(what),
        "a": _bar(pair.a, item.a),
        "b": _bar(pair.b, item.b),
    }


def _bar(name: str, span: CodedSpan | None) -> dict[str, Any]:
    fields = {} if span is None else {key: getattr(span, key) for key in CodedSpan.__dataclass_fields__}
    return {"name": plain(name)} | {
        key: plain(value) if isinstance(value, str) else value for key, value in fields.items()
    }


def _film(path: str, folder: Path) -> str:
    """Return the address of a recording for a page in the folder; "" if it is not there."""
    if not Path(path).is_file():
        return ""
    try:
        return quote(Path(os.path.relpath(path, folder)).as_posix())
    except ValueError:  # on another drive
        return Path(path).resolve().as_uri()
