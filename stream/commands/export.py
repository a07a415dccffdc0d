"""`merau export`: stored events in another format."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from merau.engine.errors import UserError
from merau.stream.commands import options
from merau.stream.formatting import pluralize

if TYPE_CHECKING:
    from merau.stream.store import Session

FORMATS = ("csv", "jsonl", "eaf", "vtt", "parquet")


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "export", "write stored events in another format", run)
    parser.add_argument("store", metavar="DB", type=Path, help="SQLite file with the events")
    parser.add_argument("--format", choices=FORMATS, default="csv", help="format to write (default: %(default)s)")
    parser.add_argument("--session", type=int, metavar="N", help="export one session only (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: standard output)")


def run(arguments: argparse.Namespace) -> int:
    """Write the events to a file or to standard output."""
    from merau.engine.files import atomic_write
    from merau.stream.export import SINGLE_RECORDING, write_events
    from merau.stream.store import read_events

    sessions = _read_sessions(arguments.store, arguments.session)
    if arguments.json and not arguments.out:
        print(_document(arguments.store, sessions))
        return 0
    if arguments.format in SINGLE_RECORDING and len(sessions) > 1:
        raise UserError(
            "A file of format {format} holds one session: choose one by --session from {sessions}.",
            format=arguments.format,
            sessions=", ".join(f"{s.id} ({s.source}, {s.started[:16]})" for s in sessions),
        )
    if arguments.format == "parquet" and not arguments.out and sys.stdout.isatty():
        raise UserError("Parquet is binary and no text for a terminal: name a file by --out.")
    events = list(read_events(arguments.store, arguments.session))
    slowdown = sessions[0].slowdown if len(sessions) == 1 else 1.0
    if not arguments.out:
        write_events(arguments.format, events, sys.stdout.buffer, slowdown)
        return 0
    with atomic_write(arguments.out) as file:
        write_events(arguments.format, events, file, slowdown)
    fields = {"written": str(arguments.out), "events": len(events)}
    print(json.dumps(fields) if arguments.json else f"{pluralize(len(events), 'event')} written to {arguments.out}.")
    return 0


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
