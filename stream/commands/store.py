"""`merau store`: back a store up, restore it, check it."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from merau.engine.text import plain
from merau.stream.commands import options
from merau.stream.formatting import pluralize

if TYPE_CHECKING:
    from merau.stream.store.maintenance import StoreCheck


def add_parser(commands: options.Commands) -> None:
    """Add the command with its own commands."""
    summary = "back a store up while it is in use, restore it, check it"
    parser = commands.add_parser("store", help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(run=lambda _: parser.error("choose backup, restore or check"))
    actions = parser.add_subparsers(title="actions", metavar="ACTION", help="what to do")
    about = "copy a store into one file, also while programs write to it"
    backup = options.add_command(actions, "backup", about, _back_up)
    options.add_store_argument(backup)
    backup.add_argument("--out", type=Path, metavar="FILE", required=True, help="the copy; it must not be there yet")
    about = "put a copy of a backup in the place of a store, which is kept under another name"
    restore = options.add_command(actions, "restore", about, _restore)
    restore.add_argument("backup", metavar="BACKUP", type=Path, help="what `merau store backup` wrote")
    options.add_store_argument(restore)
    about = "check the file, and read each session, event and coding"
    check = options.add_command(actions, "check", about, _check)
    options.add_store_argument(check)


def _back_up(arguments: argparse.Namespace) -> int:
    from merau.stream.store.maintenance import back_up

    found = back_up(arguments.store, arguments.out)
    return _tell(arguments, f"{arguments.store} is backed up in {arguments.out}", found, {})


def _restore(arguments: argparse.Namespace) -> int:
    from merau.stream.store.maintenance import restore

    found, earlier = restore(arguments.backup, arguments.store)
    kept = f" (what was there before is {earlier})" if earlier else ""
    fields = {"earlier": str(earlier) if earlier else None}
    return _tell(arguments, f"{arguments.store} is restored from {arguments.backup}{kept}", found, fields)


def _check(arguments: argparse.Namespace) -> int:
    from merau.stream.store.maintenance import check_store

    return _tell(arguments, str(arguments.store), check_store(arguments.store), {})


def _tell(arguments: argparse.Namespace, done: str, found: "StoreCheck", fields: dict[str, str | None]) -> int:
    """Print what was done and what was found; returns the exit code, 1 where something is damaged."""
    numbers = ((found.sessions, "session"), (found.events, "event"), (found.codings, "coding"))
    counts = ", ".join(pluralize(number, what) for number, what in numbers)
    print(json.dumps(fields | asdict(found)) if arguments.json else plain(f"{done}: {counts}."))
    for fault in found.faults:
        print(plain(f"merau: {arguments.store}: {fault}."), file=sys.stderr)
    return 1 if found.faults else 0
