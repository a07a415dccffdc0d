"""`merau import`: codings that a person made in ELAN or in a table."""

import argparse
import json
import sys
from pathlib import Path

from merau.engine.errors import UserError
from merau.stream.commands import options
from merau.stream.formatting import pluralize


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    summary = "read codings of a person from an ELAN file or a CSV into a store"
    parser = options.add_command(commands, "import", summary, run)
    parser.add_argument("file", metavar="FILE", type=Path, help="ELAN file (.eaf) or CSV with onset_s and offset_s")
    options.add_store_option(parser)
    parser.add_argument(
        "--session", type=int, metavar="N", help="session of the recording (default: the only one of the store)"
    )
    parser.add_argument("--coder", metavar="NAME", help="who coded the file (default: as the file states)")
    parser.add_argument(
        "--tier",
        type=options.tier_kind,
        action="append",
        default=[],
        metavar="NAME[=KIND]",
        help="ELAN tier to read, and the kind of its events (default: the tiers of `merau export`; micro or macro by "
        "duration); may be repeated",
    )
    parser.add_argument(
        "--value",
        type=_value,
        action="append",
        default=[],
        metavar="TEXT=CLASS",
        help="class or kind that a text of the file stands for; may be repeated",
    )
    parser.add_argument("--face", type=int, metavar="N", help="face of the events, where the file names none")


def _value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not TEXT=CLASS")
    return name, value


def run(arguments: argparse.Namespace) -> int:
    """Read the file and add its codings to the store."""
    from merau.stream.coding_import import ImportSettings, import_codings
    from merau.stream.events import sort_key
    from merau.stream.store import Store, read_events, read_original_predictions, read_sessions

    store = arguments.store
    sessions = [s for s in read_sessions(store) if arguments.session in (None, s.id)]
    if not sessions:
        raise UserError("There is no session {number} in {store}.", number=arguments.session or "", store=store)
    if len(sessions) > 1:
        raise UserError(
            "{store} holds several sessions: choose that of {file} by --session from {sessions}.",
            store=store,
            file=arguments.file,
            sessions=", ".join(f"{s.id} ({s.source})" for s in sessions),
        )
    (session,) = sessions
    events = sorted(read_events(store, session.id), key=sort_key)
    settings = ImportSettings(arguments.coder, arguments.face, dict(arguments.tier), dict(arguments.value))
    imported = import_codings(arguments.file, session.id, events, settings, session.slowdown)
    known = {event.id: event for event in events}
    originals = read_original_predictions(store, session.id)
    priors = {event.id: originals.get(event.id, {}).get("probabilities", event.probabilities) for event in events}
    if session.settings.get("head_sha256"):
        priors = {}  # the stored probabilities are those of a few-shot head
    with Store(store) as opened:
        for coding in imported.codings:
            opened.put_coding(coding, known.get(coding.event), priors.get(coding.event))
    for note in imported.notes:
        print(f"Note: {note}", file=sys.stderr)
    missed = sum(coding.is_missed for coding in imported.codings)
    fields = {"session": session.id, "codings": len(imported.codings), "missed": missed}
    total = pluralize(len(imported.codings), "coding")
    text = f"{total} added to session {session.id} of {store}, {missed} of them of events that the machine missed."
    print(json.dumps(fields | {"notes": [str(note) for note in imported.notes]}) if arguments.json else text)
    return 0
