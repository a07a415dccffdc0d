"""Codings that a person made elsewhere: in ELAN, or in a table."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.optimize import linear_sum_assignment

from merau.engine.csv_table import is_csv, parse_decimal, read_csv
from merau.engine.errors import Message, UserError
from merau.engine.validation import check
from merau.stream.coding import MISSED, TIMES, check_coding, new_missed_id
from merau.stream.elan import FALSE, MACHINE, UNCERTAIN, UNNAMED, EafAnnotation, event_value, read_eaf, tier_names
from merau.stream.events import CODED_FIELDS, KINDS, Coding, Event, Kind

MICRO_LIMIT_S = 0.5  # a micro-expression lasts at most this long
MIN_IOU = 0.5  # an imported event and one of the machine's overlap this much if they are one
OWN_TIER = re.compile(rf"face (\d{{1,9}}) ({'|'.join(KINDS)})(?: \d+)?(?: · (.+))?")
# Of a text with single blanks: with many, each place where one pattern could end would be tried with each other.
UNITS = re.compile(r"(?:AU ?)?\d{1,2}(?:(?: ?[+,;] ?| )(?:AU ?)?\d{1,2})*", re.IGNORECASE)
TRUE = ("true", "1", "yes", "wahr", "ja")
COLUMNS = ("onset_s", "offset_s")  # that a table of somebody's own needs


@dataclass(frozen=True)
class ImportSettings:
    """How the events of a file are read.

    Attributes:
        coder: Name of the coder; None takes that of the file.
        face: Number of the face where the file states none; None if there is one face.
        tiers: Kind of the events of each ELAN tier that is not one of ours; None tells micro from macro by duration.
        values: Class or kind that a text of the file stands for.
    """

    coder: str | None = None
    face: int | None = None
    tiers: Mapping[str, Kind | None] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = {kind for kind in self.tiers.values() if kind is not None}
        check(self, "tiers", kinds <= set(KINDS), f"kinds of {', '.join(KINDS)}")


@dataclass
class Imported:
    """What a file says of a session, and what was assumed about it."""

    codings: list[Coding] = field(default_factory=list)
    notes: list[Message] = field(default_factory=list)


@dataclass(frozen=True)
class _Row:
    """One event of a file. `event` is the id of the machine's event that it names; times are captured time."""

    place: str
    coder: str
    event: str | None
    track: int | None
    onset_s: float | None = None
    apex_s: float | None = None
    offset_s: float | None = None
    kind: Kind | None = None
    label: str | None = None
    aus: tuple[str, ...] | None = None
    is_false: bool = False
    is_missed: bool = False
    note: str = ""


def import_codings(
    path: Path, session: int, events: Sequence[Event], settings: ImportSettings, slowdown: float = 1.0
) -> Imported:
    """Read a file of events as codings of a session.

    An event that names one of `events`, or overlaps one of the same face by an IoU of 0.5, is a coding of that event.
    Any other is one that the machine missed.

    Args:
        path: An ELAN file or a CSV.
        session: Number of the session.
        events: The session's events.
        settings: How the file is read.
        slowdown: Film seconds for each second of captured time; ELAN files count film seconds.

    Raises:
        UserError: The file cannot be read, or a row of it cannot be a coding.
    """
    imported = Imported()
    if is_csv(path):
        rows = _read_table(path, settings, imported)
    else:
        rows = _read_elan(path, events, settings, slowdown, imported)
    known = {event.id: event for event in events}
    matches = _match([row for row in rows if row.event not in known and not row.is_missed], events)
    without_apex = 0
    for row in rows:
        event = known.get(row.event or "") or matches.get(id(row))
        row, is_assumed = _with_apex(row, event)
        without_apex += is_assumed
        coding = _coding(row, event, session, settings, events)
        try:
            imported.codings.append(check_coding(coding, event))
        except UserError as error:
            raise UserError("{place}: {reason}", place=row.place, reason=error.message) from error
    if without_apex:
        text = "{path} states no apex for {count} events: the middle of each is taken."
        imported.notes.append(Message(text, {"path": path, "count": without_apex}))
    return imported


def _coding(row: _Row, event: Event | None, session: int, settings: ImportSettings, events: Sequence[Event]) -> Coding:
    """Return a row as coding of `event`, or of a new event without one."""
    coding = Coding(
        session,
        event.id if event else row.event or new_missed_id(),
        row.coder,
        row.kind,
        row.label,
        row.aus,
        row.onset_s,
        row.apex_s,
        row.offset_s,
        is_false=row.is_false,
        note=row.note,
    )
    if event:
        return coding
    return replace(coding, is_missed=True, kind=row.kind or _kind(row), track=row.track or _face(row, settings, events))


def _face(row: _Row, settings: ImportSettings, events: Sequence[Event]) -> int:
    tracks = {event.track for event in events}
    if settings.face is None and len(tracks) > 1:
        raise UserError("{place}: this event may be of any face: choose one by --face.", place=row.place)
    return settings.face if settings.face is not None else next(iter(tracks), 1)


def _kind(row: _Row) -> Kind | None:
    if row.onset_s is None or row.offset_s is None:
        return None
    return "micro" if row.offset_s - row.onset_s <= MICRO_LIMIT_S else "macro"


def _with_apex(row: _Row, event: Event | None) -> tuple[_Row, bool]:
    """Return the row with an apex, and whether it was assumed: only where neither row nor event has a fitting one."""
    if row.apex_s is not None or row.onset_s is None or row.offset_s is None:
        return row, False
    if event and row.onset_s <= event.apex_s <= row.offset_s:
        return row, False
    return replace(row, apex_s=(row.onset_s + row.offset_s) / 2), True


def _match(rows: Sequence[_Row], events: Sequence[Event]) -> dict[int, Event]:
    """Assign rows to events, one to one for each coder, such that they overlap most; by the rows' identity."""
    matches: dict[int, Event] = {}
    for coder in {row.coder for row in rows}:
        of_coder = [row for row in rows if row.coder == coder]
        iou = np.array([[_iou(row, event) for event in events] for row in of_coder]).reshape(-1, len(events))
        for i, j in zip(*linear_sum_assignment(-iou), strict=True):
            if iou[i, j] >= MIN_IOU:
                matches[id(of_coder[i])] = events[j]
    return matches


def _iou(row: _Row, event: Event) -> float:
    if row.onset_s is None or row.offset_s is None or row.track not in (None, event.track):
        return 0.0
    shared = min(row.offset_s, event.offset_s) - max(row.onset_s, event.onset_s)
    return max(shared, 0.0) / (max(row.offset_s, event.offset_s) - min(row.onset_s, event.onset_s))


def _stated(value: str, settings: ImportSettings) -> dict[str, Any]:
    """Return the fields of a row that a text states: a false event, a kind, Action Units or a class."""
    value = settings.values.get(value, value).strip()
    if value == FALSE:
        return {"is_false": True}
    if value in KINDS:
        return {"kind": value}
    if value in ("", UNCERTAIN):
        return {}
    if _names_units(value):
        return {"aus": tuple(dict.fromkeys(str(int(unit)) for unit in re.findall(r"\d+", value)))}
    return {"label": value}


def _times(times_s: Iterable[float | None]) -> dict[str, Any]:
    """Return onset, apex and offset as fields of a row."""
    return dict(zip(TIMES, times_s, strict=True))


# --- ELAN


def _read_elan(
    path: Path, events: Sequence[Event], settings: ImportSettings, slowdown: float, imported: Imported
) -> list[_Row]:
    annotations = read_eaf(path)
    names = tier_names(annotations)
    if unknown := [name for name in settings.tiers if name not in names]:
        values = {"file": path, "tier": unknown[0], "tiers": ", ".join(names)}
        raise UserError("{file} has no tier '{tier}' with annotations; it has: {tiers}.", **values)
    skipped = [name for name in names if name not in settings.tiers and not OWN_TIER.fullmatch(name)]
    if skipped and len(skipped) == len(names):
        raise UserError(
            "Which tiers of {file} hold events? Name them by --tier 'NAME=KIND'; it has: {tiers}.",
            file=path,
            tiers=", ".join(names),
        )
    if skipped:
        text = "Tiers of {file} that are not read: {tiers}."
        imported.notes.append(Message(text, {"file": path, "tiers": ", ".join(skipped)}))
    known = {event.id: event for event in events}
    rows = (_row_of_annotation(path, a, settings, slowdown, known) for a in annotations if a.tier not in skipped)
    return [row for row in rows if row]


def _row_of_annotation(
    path: Path, annotation: EafAnnotation, settings: ImportSettings, slowdown: float, known: Mapping[str, Event]
) -> _Row | None:
    """Return an annotation as row; None for one of the machine's that nobody changed."""
    event_id, _, details = annotation.details.partition(" · ")
    own = OWN_TIER.fullmatch(annotation.tier) if annotation.tier not in settings.tiers else None
    film_s = (annotation.start_s, annotation.apex_s, annotation.end_s)
    times = _times(None if t_s is None else t_s / slowdown for t_s in film_s)
    place = f"{path}, tier '{annotation.tier}', {annotation.start_s:.3f} s"
    if own is None:
        kind = settings.tiers[annotation.tier]
        coder = _coder(settings, annotation.annotator, path)
        row = _Row(place, coder, None, settings.face, kind=kind, **times)
        return replace(row, **_stated(annotation.value, settings))
    is_machine = annotation.annotator == MACHINE and not own[3]
    if is_machine and _is_unchanged(annotation, known.get(event_id), slowdown):
        return None
    stated_by = "" if is_machine or own[3] == UNNAMED else annotation.annotator or own[3] or ""
    coder = _coder(settings, stated_by, path) if is_machine else settings.coder or stated_by
    units, _, note = ("", "", "") if is_machine else _split_details(details)
    row = _Row(place, coder, event_id or None, int(own[1]), kind=cast(Kind, own[2]), note=note, **times)
    aus: dict[str, Any] = {"aus": tuple(re.findall(r"\d+", units))} if units else {}
    return replace(row, **aus, **_stated(annotation.value, settings), is_missed=event_id.startswith(MISSED))


def _split_details(details: str) -> tuple[str, str, str]:
    """Divide "AU6 AU12 · a note" into Action Units and note."""
    return details.partition(" · ") if re.match(r"AU\d", details) else ("", "", details)


def _is_unchanged(annotation: EafAnnotation, event: Event | None, slowdown: float) -> bool:
    if event is None or annotation.value != event_value(event):
        return False
    pairs = [(annotation.start_s, event.onset_s), (annotation.end_s, event.offset_s)]
    pairs += [(annotation.apex_s, event.apex_s)] if annotation.apex_s is not None else []
    return all(abs(stated_s - slowdown * t_s) < 0.002 for stated_s, t_s in pairs)


def _coder(settings: ImportSettings, stated: str, path: Path) -> str:
    coder = settings.coder if settings.coder is not None else stated
    if not coder:
        raise UserError("{file} does not say who coded it: name the coder by --coder.", file=path)
    return coder


# --- tables


def _read_table(path: Path, settings: ImportSettings, imported: Imported) -> list[_Row]:
    table = read_csv(path)
    imported.notes += table.notes
    is_own = "id" in table.header and "user_label" in table.header
    required = ("id",) if is_own else COLUMNS
    if missing := [name for name in required if name not in table.header]:
        raise UserError("The first line of {path} must name {columns}.", path=path, columns=", ".join(missing))
    rows: list[_Row] = []
    for line, cells in table.rows(required):
        place = f"{path}, line {line}"
        rows += _rows_of_export(place, cells, settings) if is_own else [_row_of_table(place, cells, settings, path)]
    return rows


def _rows_of_export(place: str, cells: dict[str, str], settings: ImportSettings) -> Iterator[_Row]:
    """Yield a row of an export of ours if a coder's column has something in it."""
    stated = {name: cells.get(column, "") for name, column in CODED_FIELDS.items() if name not in ("coder", "given")}
    flags: dict[str, Any] = {name: stated[name].lower() in TRUE for name in ("is_false", "is_missed")}
    if not any(flags.values()) and not any(value for name, value in stated.items() if name not in flags):
        return
    coder = settings.coder if settings.coder is not None else cells.get("coder", "")
    times = _times(_number(place, f"user_{name}", cells) for name in TIMES)
    track = _face_number(cells.get("track", ""))
    row = _Row(place, coder, cells["id"], track, note=stated["note"], **times)
    stated_aus, kind = _units(place, stated["aus"]), _known_kind(place, stated["kind"])
    yield replace(row, kind=kind, label=stated["label"] or None, aus=stated_aus, **flags)


def _row_of_table(place: str, cells: dict[str, str], settings: ImportSettings, path: Path) -> _Row:
    face = cells.get("track") or cells.get("face") or ""
    times = _times(_number(place, name, cells) for name in TIMES)
    if None in (times["onset_s"], times["offset_s"]):
        raise UserError("{place}: onset and offset are needed, in seconds.", place=place)
    row = _Row(
        place,
        _coder(settings, cells.get("coder", ""), path),
        None,
        settings.face if (track := _face_number(face)) is None else track,
        kind=_known_kind(place, cells.get("kind", "")),
        note=cells.get("note", ""),
        **times,
    )
    stated = _stated(cells.get("label", ""), settings)
    return replace(row, **({"aus": _units(place, cells.get("aus", ""))} | stated))


def _face_number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _number(place: str, column: str, cells: dict[str, str]) -> float | None:
    text = cells.get(column, "")
    try:
        return parse_decimal(text) if text else None
    except ValueError:
        raise UserError(
            "{place}: {name} is '{text}': write seconds, as 5.4, not 0:05.4.", place=place, name=column, text=text
        ) from None


def _known_kind(place: str, text: str) -> Kind | None:
    if text and text not in KINDS:
        raise UserError("{place}: '{kind}' is no kind.", place=place, kind=text)
    return next((kind for kind in KINDS if kind == text), None)


def _names_units(text: str) -> bool:
    return UNITS.fullmatch(" ".join(text.split())) is not None


def _units(place: str, text: str) -> tuple[str, ...] | None:
    if text and not _names_units(text):
        raise UserError("{place}: Action Units are numbers with + between them, such as 6+12.", place=place)
    return tuple(str(int(unit)) for unit in re.findall(r"\d+", text)) if text else None
