"""Export events to CSV, JSON Lines, ELAN, WebVTT and Parquet."""

import csv
import html
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import IO, Any

from merau.engine.text import plain
from merau.stream.coding import in_words_of_coders
from merau.stream.csv_style import CsvStyle
from merau.stream.elan import span_ms, write_eaf
from merau.stream.events import EXPORT_FIELDS, NESTED, Event, Labels, export_fields
from merau.stream.export_settings import ExportSettings
from merau.stream.formatting import coding_summary, event_summary

# What a spreadsheet takes for a formula: at the start of a cell, also where it divides cells at semicolons.
FORMULA = re.compile(r"(^|;)(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
NUMBERS = (
    *("onset_s", "apex_s", "offset_s", "strength", "quality", "analysed_s"),
    *("user_onset_s", "user_apex_s", "user_offset_s"),
)
FLAGS = ("uncertain", "final", "partial", "user_false", "user_missed")


def write_csv(events: Sequence[Event], file: IO[bytes], settings: ExportSettings | None = None) -> None:
    """Write one row per event; a nested field becomes one column per key: `aus.12`, `probabilities.positive`."""
    settings = settings or ExportSettings()
    labels, style = settings.labels, settings.csv
    events = _of_labels(events, labels)
    text = io.TextIOWrapper(file, encoding=style.encoding, newline="", write_through=True)
    names = columns(events, labels)
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n", delimiter=style.separator)
    writer.writerow({name: _cell(name.replace(" ", style.blank), style) for name in names})
    for event in events:
        fields = flat_fields(event, labels)
        writer.writerow({name: _cell(value, style) for name, value in fields.items()})
    text.detach()


def _of_labels(events: Sequence[Event], labels: Labels) -> list[Event]:
    """Return the events that an export shows, "only" in the words of their coders."""
    if labels == "only":
        return list(in_words_of_coders(events))
    return [event for event in events if labels == "both" or not (event.coding and event.coding.is_missed)]


def _cell(value: object, style: CsvStyle) -> object:
    """Return what CSV holds."""
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return str(value).replace(".", style.decimal)
    return guard_formula(value) if isinstance(value, str) else value


def guard_formula(text: str) -> str:
    """Return the text with a quotation mark before what a spreadsheet would take for a formula."""
    return FORMULA.sub(r"\1'", text)


def flat_fields(event: Event, labels: Labels = "both") -> dict[str, Any]:
    """The event's fields by column; a nested field gives one per key."""
    fields = export_fields(event, labels)
    nested = {f"{name}.{key}": value for name in NESTED for key, value in fields.pop(name).items()}
    return fields | nested


def columns(events: Sequence[Event], labels: Labels = "both") -> list[str]:
    """The columns of a table of `events`, nested fields by their keys."""
    return [column for name in EXPORT_FIELDS[labels] for column in _columns(name, events)]


def _columns(name: str, events: Sequence[Event]) -> list[str]:
    if name not in NESTED:
        return [name]
    keys = {plain(key) for event in events for key in getattr(event, name)}
    return [f"{name}.{key}" for key in sorted(keys, key=lambda key: key.zfill(3) if key.isdigit() else key)]


def write_jsonl(events: Sequence[Event], file: IO[bytes], settings: ExportSettings | None = None) -> None:
    """Write one JSON object per line."""
    labels = settings.labels if settings else "both"
    for event in _of_labels(events, labels):
        file.write(json.dumps(export_fields(event, labels)).encode() + b"\n")


def write_vtt(events: Sequence[Event], file: IO[bytes], settings: ExportSettings | None = None) -> None:
    """Write subtitles of one recording: a cue per event, and before it a NOTE with all fields as JSON."""
    from webvtt import Caption, WebVTT
    from webvtt.models import Timestamp

    labels = settings.labels if settings else "both"
    document = WebVTT()
    for event in sorted(_of_labels(events, labels), key=span_ms):
        start, end = (str(Timestamp.from_seconds(ms / 1000)) for ms in span_ms(event))
        text = html.escape(f"face {event.track} · {_annotation(event, labels)}", quote=False)
        cue = Caption(start, end, text, identifier=plain(event.id).replace("-->", "-- >"))
        note = json.dumps(export_fields(event, labels))
        cue.comments.append(note.replace(">", "\\u003e"))  # "-->" would start a cue
        document.captions.append(cue)
    file.write(document.content.encode())


def write_parquet(events: Sequence[Event], file: IO[bytes], settings: ExportSettings | None = None) -> None:
    """Write one column per field; nested fields are maps of string to number."""
    import pyarrow
    import pyarrow.parquet

    labels = settings.labels if settings else "both"
    number, text, flag = pyarrow.float64(), pyarrow.string(), pyarrow.bool_()
    types = dict.fromkeys(NESTED, pyarrow.map_(text, number)) | dict.fromkeys(NUMBERS, number)
    types |= dict.fromkeys(("track", "session"), pyarrow.int64()) | dict.fromkeys(FLAGS, flag)
    schema = pyarrow.schema([(name, types.get(name, text)) for name in EXPORT_FIELDS[labels]])
    rows = [export_fields(event, labels) for event in _of_labels(events, labels)]
    columns = {name: [row[name] for row in rows] for name in EXPORT_FIELDS[labels]}
    columns |= {name: [list(row[name].items()) for row in rows] for name in NESTED}
    pyarrow.parquet.write_table(pyarrow.table(columns, schema), file)


def _annotation(event: Event, labels: Labels) -> str:
    """Return a cue's text: what the machine said, and with "both" what each coder said of it."""
    machine = event_summary(event, percent_sign=" %")  # as in 0.1: scripts may read annotations
    if labels != "both" or not event.coding:
        return machine
    return " · ".join([*([] if event.coding.is_missed else [machine]), *map(coding_summary, event.codings)])


FORMATS: dict[str, Callable[[Sequence[Event], IO[bytes], ExportSettings], None]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "eaf": write_eaf,
    "vtt": write_vtt,
    "parquet": write_parquet,
}
SINGLE_RECORDING = ("eaf", "vtt")  # formats whose time line belongs to one recording


def write_events(suffix: str, events: Sequence[Event], file: IO[bytes], settings: ExportSettings | None = None) -> None:
    """Write events in one of `FORMATS`.

    Args:
        suffix: The format.
        events: The events, with those that the machine missed.
        file: Where they go.
        settings: How they are exported.
    """
    settings = settings or ExportSettings()
    if suffix in SINGLE_RECORDING and settings.slowdown != 1:
        events = [_on_film(event, settings.slowdown) for event in events]
    FORMATS[suffix](events, file, settings)


def _on_film(event: Event, slowdown: float) -> Event:
    onset_s, apex_s, offset_s = _times_on_film((event.onset_s, event.apex_s, event.offset_s), slowdown)
    codings = []
    for coding in event.codings:
        times = _times_on_film((coding.onset_s, coding.apex_s, coding.offset_s), slowdown)
        codings.append(replace(coding, onset_s=times[0], apex_s=times[1], offset_s=times[2]))
    assert onset_s is not None and apex_s is not None and offset_s is not None
    return replace(event, onset_s=onset_s, apex_s=apex_s, offset_s=offset_s, codings=tuple(codings))


def _times_on_film(captured_s: Sequence[float | None], slowdown: float) -> list[float | None]:
    """Convert captured times, which the store rounds, to times of the film."""
    return [None if t_s is None else slowdown * round(t_s, 4) for t_s in captured_s]
