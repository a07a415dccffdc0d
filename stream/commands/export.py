"""`merau export`: stored events in another format."""

import argparse
import io
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from merau.engine.errors import UserError
from merau.stream.commands import options
from merau.stream.formatting import pluralize

if TYPE_CHECKING:
    from merau.stream.events import Event
    from merau.stream.export_settings import ExportSettings
    from merau.stream.store import Session

FORMATS = ("csv", "jsonl", "eaf", "vtt", "parquet")
ALL = "all"
MAX_STEM = 60  # characters of a file's name that come from its source: at most 240 bytes of 255


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "export", "write stored events in another format", run)
    options.add_store_argument(parser)
    parser.add_argument("--format", choices=FORMATS, default="csv", help="format to write (default: %(default)s)")
    parser.add_argument(
        "--session",
        type=_session,
        metavar="N",
        help="export one session only; 'all' writes a file for each session into the folder --out "
        "(default: all in one file)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: standard output)")
    parser.add_argument(
        "--into", type=Path, metavar="FILE.eaf", help="add the tiers to this ELAN file; what it holds stays as it is"
    )
    parser.add_argument(
        "--labels",
        choices=("machine", "both", "only"),
        default="both",
        help="word to write: the machine's, the coders' beside it, or the coders' only (default: %(default)s)",
    )
    options.add_participant_options(parser)
    parser.add_argument("--excel", action="store_true", help=options.EXCEL)
    parser.add_argument("--coder", metavar="NAME", help="codings of this coder only (default: the newest, in ELAN all)")


def _session(text: str) -> int | str:
    if text != ALL and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is neither the number of a session nor 'all'")
    return text if text == ALL else int(text)


def run(arguments: argparse.Namespace) -> int:
    """Write the events to a file or to standard output."""
    from merau.stream.export import SINGLE_RECORDING

    number = None if arguments.session == ALL else arguments.session
    sessions = _read_sessions(arguments.store, number)
    if arguments.json and not (arguments.out or arguments.into):
        print(_document(arguments.store, sessions))
        return 0
    if arguments.session == ALL:
        return _export_each(arguments, sessions)
    is_single = arguments.format in SINGLE_RECORDING or arguments.into
    if is_single and len(sessions) > 1:
        raise UserError(
            "A file of format {format} holds one session: choose one by --session, or 'all' to write a file for each: "
            "{sessions}.",
            format="eaf" if arguments.into else arguments.format,
            sessions=", ".join(f"{s.id} ({s.source}, {s.started[:16]})" for s in sessions),
        )
    if arguments.format == "parquet" and not arguments.out and sys.stdout.isatty():
        raise UserError("Parquet is binary and no text for a terminal: name a file by --out.")
    events = _read_events(arguments, number)
    place = arguments.out or arguments.into
    settings = _settings(arguments, sessions, place)
    if not place:
        sys.stdout.buffer.write(_content(arguments.format, events, settings))
        return 0
    if arguments.into:
        _add_to_eaf(arguments.into, place, events, settings)
    else:
        _write(place, _content(arguments.format, events, settings))
    fields = {"written": str(place), "events": len(events)}
    print(json.dumps(fields) if arguments.json else f"{pluralize(len(events), 'event')} written to {place}.")
    return 0


def _export_each(arguments: argparse.Namespace, sessions: "list[Session]") -> int:
    """Write a file for each session into the folder --out; no file of that name may be there."""
    folder = arguments.out
    if not folder or arguments.into:
        raise UserError("--session all writes a file for each session: name their folder by --out.")
    places = {session.id: folder / f"{_stem(session)}.{arguments.format}" for session in sessions}
    if existing := [place for place in places.values() if place.exists()]:
        raise UserError("{file} exists already: choose another folder.", file=existing[0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            "The folder {folder} cannot be made: {reason}.", folder=folder, reason=error.strerror
        ) from error
    written = []
    for session in sessions:
        events, place = _read_events(arguments, session.id), places[session.id]
        _write(place, _content(arguments.format, events, _settings(arguments, [session], place)))
        written.append({"written": str(place), "session": session.id, "events": len(events)})
        if not arguments.json:
            print(f"{pluralize(len(events), 'event')} written to {place}.")
    if arguments.json:
        print(json.dumps(written))
    return 0


def _stem(session: "Session") -> str:
    """Name a session's file after its source and number."""
    name = "".join(c if c.isalnum() or c in "-_. " else "-" for c in Path(session.source).stem).strip("-. ")[:MAX_STEM]
    return f"{name or 'session'}-{session.id}"


def _settings(arguments: argparse.Namespace, sessions: "list[Session]", place: Path | None) -> "ExportSettings":
    from merau.stream.csv_style import CsvStyle, excel_style
    from merau.stream.export_settings import ExportSettings

    slowdown = sessions[0].slowdown if len(sessions) == 1 else 1.0
    style = excel_style() if arguments.excel else CsvStyle()
    return ExportSettings(arguments.labels, slowdown, place.parent if place else None, style)


def _content(format: str, events: "list[Event]", settings: "ExportSettings") -> bytes:
    from merau.stream.export import write_events

    file = io.BytesIO()
    write_events(format, events, file, settings)
    return file.getvalue()


def _add_to_eaf(existing: Path, place: Path, events: "list[Event]", settings: "ExportSettings") -> None:
    from merau.stream.elan import add_to_eaf, load_eaf

    _write(place, add_to_eaf(_content("eaf", events, settings), load_eaf(existing), existing))


def _write(place: Path, content: bytes) -> None:
    from merau.engine.files import atomic_write

    with atomic_write(place) as file:
        file.write(content)


def _read_events(arguments: argparse.Namespace, session: int | None) -> "list[Event]":
    from merau.stream.coding import read_missed_events
    from merau.stream.store import read_events, read_sessions

    find = options.assignment(arguments).find
    sources = {found.id: found.source for found in read_sessions(arguments.store)}
    missed = read_missed_events(arguments.store, session, arguments.coder)
    events = [*read_events(arguments.store, session, arguments.coder), *missed]
    known = [find(sources.get(event.session or 0, event.source), event.track) for event in events]
    return [replace(event, participant=row.get("participant")) for event, row in zip(events, known, strict=True)]


def _read_sessions(store: Path, number: int | None) -> "list[Session]":
    from merau.stream.store import read_sessions

    sessions = [session for session in read_sessions(store) if number in (None, session.id)]
    if not sessions and number is None:
        raise UserError("There is no session in {store}.", store=store)
    if not sessions:
        raise UserError("There is no session {number} in {store}.", number=number, store=store)
    return sessions


def _document(store: Path, sessions: "list[Session]") -> str:
    from merau.stream.events import event_fields
    from merau.stream.store import read_events

    events = {s.id: [event_fields(event) for event in read_events(store, s.id)] for s in sessions}
    return json.dumps({"sessions": [asdict(s) | {"events": events[s.id]} for s in sessions]})
