"""The HTML report of a study: rates with intervals, events over time, and comparisons."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas

from merau.engine.html import render
from merau.stream.events import KINDS
from merau.stream.formatting import KIND_NAMES, format_timestamp, kind_name, pluralize
from merau.stream.study.comparison import Comparison
from merau.stream.study.participants import PARTICIPANT
from merau.stream.study.table import Study
from merau.stream.summary import EXPRESSIONS

NICE = (1, 1.5, 2, 3, 5, 7, 10)


def render_study(study: Study, groups: pandas.DataFrame, by: Sequence[str], comparisons: Sequence[Comparison]) -> str:
    """Return the report as HTML.

    Args:
        study: The study.
        groups: What `measure` returned for the columns `by`.
        by: The columns that make a group.
        comparisons: Of the conditions.
    """
    counts = Counter(study.events["kind"])
    return render(
        "merau.stream.report",
        "study.html.j2",
        facts=_facts(study),
        notes=[str(note) for note in study.notes],
        counts=[
            {"kind": kind, "number": (n := int(counts.get(kind, 0))), "name": kind_name(kind, n)} for kind in KINDS
        ],
        rates=[_rate_chart(groups, by, kind) for kind in EXPRESSIONS],
        raster=_raster(study),
        comparisons=[_comparison(comparison) for comparison in comparisons],
        groups=_group_rows(groups, by),
        kinds=KINDS,
        by=by,
    )


def _facts(study: Study) -> list[str]:
    analysed_min = study.faces["analysed_s"].sum() / 60
    facts = [pluralize(study.faces["session"].nunique(), "recording")]
    if PARTICIPANT in study.assigned:
        known = study.faces.loc[study.faces[PARTICIPANT] != "", PARTICIPANT]
        facts.append(pluralize(known.nunique(), PARTICIPANT))
    return [*facts, f"{analysed_min:.1f} minutes of faces analysed", f"run {study.run}"]


def _group_name(row: Sequence[object]) -> str:
    """Return what a group is called on the page."""
    parts = [PurePath(str(part)).name for part in row]
    return " · ".join(part or "not known" for part in parts)


def _rate_chart(groups: pandas.DataFrame, by: Sequence[str], kind: str) -> dict[str, Any]:
    """Return the rates of one kind with their intervals, as percents of the chart's width."""
    own = groups[(groups["measure"] == "kind") & (groups["name"] == kind)]
    top = _ceil(float(np.nan_to_num(own["rate_high"]).max(initial=0)))
    rows = []
    for row in own.to_dict("records"):
        low, middle, high = (100 * row[name] / top for name in ("rate_low", "rate_per_min", "rate_high"))
        rows.append(
            {
                "name": _group_name([row[name] for name in by]),
                "left": f"{low:.2f}%",
                "width": f"{max(high - low, 0):.2f}%",
                "middle": f"{middle:.2f}%",
                "text": f"{row['rate_per_min']:.2f} ({row['rate_low']:.2f} to {row['rate_high']:.2f})",
            }
        )
    return {"kind": kind, "name": KIND_NAMES[kind], "rows": rows, "top": f"{top:g}"}


def _ceil(highest: float) -> float:
    """Return a round number that is not below the highest."""
    step = 10 ** np.floor(np.log10(max(highest, 0.1)))
    return float(next(m * step for m in NICE if m * step >= max(highest, 0.1)))


def _raster(study: Study) -> dict[str, Any]:
    """Return the events of each face over time."""
    longest_s = max(float(study.faces["film_s"].max()), float(study.events["offset_s"].max() or 0), 0.1)
    rows = []
    for face in study.faces.to_dict("records"):
        own = study.events[(study.events["session"] == face["session"]) & (study.events["face"] == face["face"])]
        name = PurePath(str(face["recording"])).name
        known = [str(face[column]) for column in study.assigned if face[column]]
        marks = [
            {
                "kind": event["kind"],
                "style": f"left:{100 * event['onset_s'] / longest_s:.3f}%;"
                f"width:{100 * event['duration_s'] / longest_s:.3f}%",
                "title": f"{KIND_NAMES[event['kind']]} at {format_timestamp(event['apex_s'], exact=True)}",
            }
            for event in own.to_dict("records")
        ]
        length = f"{100 * min(np.nan_to_num(face['film_s'] or 0.0) / longest_s, 1):.2f}%"
        rows.append({"name": " · ".join(known) or name, "title": name, "marks": marks, "length": length})
    return {"rows": rows, "end": format_timestamp(longest_s)}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    """Return a table of all measures, and a strip of the participants' rates for each kind of expression."""
    levels = comparison.levels
    rows = [
        {
            "name": f"{row['measure']} {row['name']}",
            "means": [f"{row[f'mean_{level}']:.2f}" for level in levels],
            "p": f"{row['p']:.3f}",
            "p_adjusted": f"{row['p_adjusted']:.3f}",
        }
        for row in comparison.tests.to_dict("records")
    ]
    return {
        "condition": comparison.condition,
        "levels": levels,
        "paired": comparison.paired,
        "participants": int(comparison.rates[PARTICIPANT].nunique()),
        "left_out": ", ".join(comparison.left_out),
        "rows": rows,
        "strips": [_strip(comparison, kind) for kind in EXPRESSIONS],
    }


def _strip(comparison: Comparison, kind: str) -> dict[str, Any]:
    rates = comparison.rates
    own = rates[(rates["measure"] == "kind") & (rates["name"] == kind)]
    top = _ceil(float(own["rate_per_min"].max()))
    rows = []
    for level in comparison.levels:
        values = own.loc[own[comparison.condition] == level, "rate_per_min"]
        dots = [f"{100 * value / top:.2f}%" for value in values]
        rows.append({"name": level, "dots": dots, "mean": f"{100 * values.mean() / top:.2f}%"})
    return {"kind": kind, "name": KIND_NAMES[kind], "rows": rows, "top": f"{top:g}"}


def _group_rows(groups: pandas.DataFrame, by: Sequence[str]) -> list[dict[str, Any]]:
    """Return minutes, and count and rate of each kind, for each group."""
    kinds = groups[groups["measure"] == "kind"]
    rows = []
    for group, own in kinds.groupby(list(by), dropna=False, sort=False):
        named = own.set_index("name")
        rows.append(
            {
                "names": [PurePath(str(part)).name or "not known" for part in group],
                "minutes": f"{named['analysed_min'].iloc[0]:.1f}",
                "kinds": [
                    {"count": int(named.loc[kind, "count"]), "rate": f"{named.loc[kind, 'rate_per_min']:.2f}"}
                    for kind in KINDS
                ],
            }
        )
    return rows
