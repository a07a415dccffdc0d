"""`merau sessions`: the sessions of a store, listed, renamed or deleted."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from merau.engine.errors import UserError
from merau.engine.text import plain
from merau.stream.commands import options
from merau.stream.formatting import pluralize

if TYPE_CHECKING:
    from merau.stream.store import Session

MAX_NAME = 120  # characters


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "sessions", "list the sessions of a store, rename or delete some", run)
    options.add_store_argument(parser)
    changes = parser.add_mutually_exclusive_group()
    changes.add_argument("--rename", nargs=2, metavar=("N", "NAME"), help="name session N")
    changes.add_argument(
        "--delete", nargs="+", type=int, metavar="N", help="delete these sessions with all they hold; asks first"
    )
    parser.add_argument("--yes", action="store_true", help="delete without asking")


def run(arguments: argparse.Namespace) -> int:
    """List, rename or delete sessions."""
    from merau.stream.store import read_sessions

    sessions = {session.id: session for session in read_sessions(arguments.store)}
    if arguments.rename:
        return _rename(arguments, sessions)
    if arguments.delete:
        return _delete(arguments, sessions)
    listed = [_fields(arguments, session) for session in sessions.values()]
    if arguments.json:
        print(json.dumps(listed))
        return 0
    for fields in listed:
        print(plain(_line(fields)))
    if not listed:
        print(f"There is no session in {arguments.store}.")
    return 0


def _fields(arguments: argparse.Namespace, session: "Session") -> dict[str, object]:
    from merau.stream.store import count_events, read_codings

    codings = read_codings(arguments.store, session.id)
    counts = {"events": count_events(arguments.store, session.id), "codings": len(codings)}
    fields = {name: value for name, value in asdict(session).items() if name != "settings"}
    return fields | counts | {"coders": sorted({coding.coder for coding in codings if coding.coder})}


def _line(fields: dict[str, object]) -> str:
    """Return one session as a line: number, start, name, events by kind, codings, state."""
    events = fields["events"]
    assert isinstance(events, dict)
    kinds = ", ".join(f"{number} {kind}" for kind, number in events.items()) or "no events"
    state = "running" if fields["ended"] is None else "partial" if fields["partial"] else ""
    coders = fields["coders"]
    assert isinstance(coders, list)
    by = f" by {', '.join(coders)}" if coders else ""
    number = fields["codings"]
    assert isinstance(number, int)
    coded = f"{pluralize(number, 'coding')}{by}" if number else ""
    source = fields["name"] or fields["source"]
    parts = (f"{fields['started']}"[:16].replace("T", " ") + " UTC", source, kinds, coded, state)
    return f"{fields['id']:>4}  {' · '.join(str(part) for part in parts if part)}"


def _rename(arguments: argparse.Namespace, sessions: "dict[int, Session]") -> int:
    from merau.stream.store import Store

    number, name = arguments.rename
    session = _find(arguments, sessions, int(number) if number.isdecimal() else number)
    name = plain(name).strip()
    if not 0 < len(name) <= MAX_NAME:
        raise UserError("A session needs a name of 1 to {count} characters.", count=MAX_NAME)
    with Store(arguments.store) as store:
        store.rename_session(session.id, name)
    print(json.dumps({"session": session.id, "name": name}) if arguments.json else f"Session {session.id} is '{name}'.")
    return 0


def _delete(arguments: argparse.Namespace, sessions: "dict[int, Session]") -> int:
    from merau.stream.store import Store

    chosen = [_find(arguments, sessions, number) for number in dict.fromkeys(arguments.delete)]
    if not arguments.yes and not _is_sure(arguments, chosen):
        raise UserError("Nothing was deleted.")
    with Store(arguments.store) as store:
        store.delete_sessions([session.id for session in chosen])
    numbers = [session.id for session in chosen]
    text = f"{pluralize(len(numbers), 'session')} deleted from {arguments.store}."
    print(json.dumps({"deleted": numbers}) if arguments.json else text)
    return 0


def _is_sure(arguments: argparse.Namespace, chosen: "list[Session]") -> bool:
    """Show what will be deleted and ask on the terminal. Raises UserError where nobody can be asked."""
    for session in chosen:
        print(plain(_line(_fields(arguments, session))), file=sys.stderr)
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError("Deleting cannot be undone: add --yes to confirm.")
    print("Delete this for good, with events, images, clips and codings? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _find(arguments: argparse.Namespace, sessions: "dict[int, Session]", number: object) -> "Session":
    if number not in sessions:
        raise UserError("There is no session {number} in {store}.", number=number, store=arguments.store)
    return sessions[int(str(number))]
