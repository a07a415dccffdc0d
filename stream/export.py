"""Export events to CSV, JSON Lines, ELAN, WebVTT and Parquet; all formats hold the fields of `export_fields`."""

import csv
import html
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from merau.engine.text import plain
from merau.stream.events import EXPORT_FIELDS, Event, export_fields
from merau.stream.formatting import event_summary

NESTED = ("aus", "probabilities")
# What a spreadsheet takes for a formula: at the start of a cell, also where it divides cells at semicolons.
FORMULA = re.compile(r"(^|;)(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
NUMBERS = ("onset_s", "apex_s", "offset_s", "strength", "quality", "user_onset_s", "user_apex_s", "user_offset_s")
FLAGS = ("uncertain", "final", "partial", "user_false", "user_missed")


def write_csv(events: Sequence[Event], file: IO[bytes]) -> None:
    """Write one row per event; a nested field becomes one column per key: `aus.12`, `probabilities.positive`."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, columns(events), restval="", lineterminator="\n")
    writer.writerow({name: _cell(name) for name in writer.fieldnames})
    for event in events:
        fields = flat_fields(event)
        writer.writerow({name: _cell(value) for name, value in fields.items()})
    text.detach()


def _cell(value: object) -> object:
    """Return what CSV holds; text that a spreadsheet would take for a formula gets a quotation mark before it."""
    if isinstance(value, bool):
        return json.dumps(value)
    return FORMULA.sub(r"\1'", value) if isinstance(value, str) else value


def flat_fields(event: Event) -> dict[str, Any]:
    """The event's fields by column; a nested field gives one per key."""
    fields = export_fields(event)
    nested = {f"{name}.{key}": value for name in NESTED for key, value in fields.pop(name).items()}
    return fields | nested


def columns(events: Sequence[Event]) -> list[str]:
    """The columns of a table of `events`, nested fields by their keys."""
    return [column for name in EXPORT_FIELDS for column in _columns(name, events)]


def _columns(name: str, events: Sequence[Event]) -> list[str]:
    if name not in NESTED:
        return [name]
    keys = {plain(key) for event in events for key in getattr(event, name)}
    return [f"{name}.{key}" for key in sorted(keys, key=lambda key: key.zfill(3) if key.isdigit() else key)]


def write_jsonl(events: Sequence[Event], file: IO[bytes]) -> None:
    """Write one JSON object per line."""
    for event in events:
        file.write(json.dumps(export_fields(event)).encode() + b"\n")


def write_eaf(events: Sequence[Event], file: IO[bytes]) -> None:
    """Write ELAN annotations of one recording: a tier per face and kind, below it one with all fields as JSON.

    Annotations of a tier must not overlap: events that do are on further tiers, "face 1 speech 2" and so on.
    """
    from pympi.Elan import Eaf

    events = sorted(events, key=_span_ms)
    document = Eaf(author="merau-live")
    document.adocument["DATE"] = datetime.now().astimezone().isoformat(timespec="seconds")  # pympi's: full hours only
    document.properties = [("lastUsedAnnotation", 2 * len(events))]  # ELAN numbers new annotations from here
    document.remove_tier("default")
    document.add_linguistic_type("event")
    document.add_linguistic_type("fields", constraints="Symbolic_Association", timealignable=False)
    edges = sorted((ms, i, edge) for i, event in enumerate(events) for edge, ms in enumerate(_span_ms(event)))
    slots = {(i, edge): f"ts{number}" for number, (_, i, edge) in enumerate(edges, 1)}
    document.timeslots = {slots[i, edge]: ms for ms, i, edge in edges}
    # Into pympi's own tables: its methods number times by the order of annotations, and find a parent by its time.
    for i, (event, tier) in enumerate(zip(events, _tiers(events), strict=True)):
        fields_tier = f"{tier} fields"
        if tier not in document.tiers:
            document.add_tier(tier, ling="event")
            document.add_tier(fields_tier, ling="fields", parent=tier)
        event_id, fields_id = f"a{2 * i + 1}", f"a{2 * i + 2}"
        document.tiers[tier][0][event_id] = (slots[i, 0], slots[i, 1], _annotation(event), None)
        document.tiers[fields_tier][1][fields_id] = (event_id, json.dumps(export_fields(event)), None, None)
        document.annotations |= {event_id: tier, fields_id: fields_tier}
    with tempfile.TemporaryDirectory() as folder:  # pympi writes to a path only, and renames an existing file
        path = Path(folder, "events.eaf")
        document.to_file(path)
        file.write(path.read_bytes())


def _tiers(events: Sequence[Event]) -> Iterator[str]:
    """Yield the name of the tier of each of these events, which are sorted by onset."""
    ends_ms: dict[str, list[int]] = {}  # for each face and kind, the offset of the last event of each tier
    for event in events:
        name = plain(f"face {event.track} {event.kind}")
        ends, (start_ms, end_ms) = ends_ms.setdefault(name, []), _span_ms(event)
        tier = next((tier for tier, last_ms in enumerate(ends) if last_ms <= start_ms), len(ends))
        ends[tier : tier + 1] = [end_ms]
        yield f"{name} {tier + 1}" if tier else name


def write_vtt(events: Sequence[Event], file: IO[bytes]) -> None:
    """Write subtitles of one recording: a cue per event, and before it a NOTE with all fields as JSON."""
    from webvtt import Caption, WebVTT
    from webvtt.models import Timestamp

    document = WebVTT()
    for event in sorted(events, key=_span_ms):
        start, end = (str(Timestamp.from_seconds(ms / 1000)) for ms in _span_ms(event))
        text = html.escape(f"face {event.track} · {_annotation(event)}", quote=False)
        cue = Caption(start, end, text, identifier=plain(event.id).replace("-->", "-- >"))
        cue.comments.append(json.dumps(export_fields(event)).replace(">", "\\u003e"))  # "-->" would start a cue
        document.captions.append(cue)
    file.write(document.content.encode())


def write_parquet(events: Sequence[Event], file: IO[bytes]) -> None:
    """Write one column per field; nested fields are maps of string to number."""
    import pyarrow
    import pyarrow.parquet

    number, text, flag = pyarrow.float64(), pyarrow.string(), pyarrow.bool_()
    types = dict.fromkeys(NESTED, pyarrow.map_(text, number)) | dict.fromkeys(NUMBERS, number)
    types |= dict.fromkeys(("track", "session"), pyarrow.int64()) | dict.fromkeys(FLAGS, flag)
    schema = pyarrow.schema([(name, types.get(name, text)) for name in EXPORT_FIELDS])
    rows = [export_fields(event) for event in events]
    columns = {name: [row[name] for row in rows] for name in EXPORT_FIELDS}
    columns |= {name: [list(row[name].items()) for row in rows] for name in NESTED}
    pyarrow.parquet.write_table(pyarrow.table(columns, schema), file)


def _annotation(event: Event) -> str:
    return event_summary(event, percent_sign=" %")  # as in 0.1: scripts may read annotations


def _span_ms(event: Event) -> tuple[int, int]:
    """Return onset and offset in whole milliseconds, at least one apart: neither format allows an empty span."""
    start_ms = max(round(event.onset_s * 1000), 0)
    return start_ms, max(round(event.offset_s * 1000), start_ms + 1)


FORMATS: dict[str, Callable[[Sequence[Event], IO[bytes]], None]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "eaf": write_eaf,
    "vtt": write_vtt,
    "parquet": write_parquet,
}
SINGLE_RECORDING = ("eaf", "vtt")  # formats whose time line belongs to one recording


def write_events(suffix: str, events: Sequence[Event], file: IO[bytes], slowdown: float = 1.0) -> None:
    """Write events in one of `FORMATS`.

    Args:
        suffix: The format.
        events: The events.
        file: Where they go.
        slowdown: Film seconds for each second of captured time; formats that lie beside a film count film seconds.
    """
    if suffix in SINGLE_RECORDING and slowdown != 1:
        events = [_on_film(event, slowdown) for event in events]
    FORMATS[suffix](events, file)


def _on_film(event: Event, slowdown: float) -> Event:
    captured_s = (event.onset_s, event.apex_s, event.offset_s)
    onset_s, apex_s, offset_s = (slowdown * round(t_s, 4) for t_s in captured_s)  # rounded as in the store
    return replace(event, onset_s=onset_s, apex_s=apex_s, offset_s=offset_s)
