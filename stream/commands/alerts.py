"""`merau alerts`: the alarms that wait, and those that could not be delivered."""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merau.engine.errors import UserError
from merau.engine.text import plain
from merau.stream.commands import options
from merau.stream.formatting import pluralize

if TYPE_CHECKING:
    from merau.stream.service.alerts.queue import AlarmQueue, Delivery

QUEUE = options.STORE.with_name(f"{options.STORE.stem}-alarms.db")


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "alerts", "list alarms that could not be delivered, or try them again", run)
    parser.add_argument(
        "queue",
        metavar="QUEUE",
        nargs="?",
        type=Path,
        default=QUEUE,
        help="SQLite file with the alarms of a service, beside its store (default: %(default)s)",
    )
    parser.add_argument(
        "--retry", metavar="N", help="deliver dead letter N again, or 'all'; a running service does it at once"
    )


def run(arguments: argparse.Namespace) -> int:
    """List dead letters, or let them be tried again."""
    from merau.stream.service.alerts.queue import AlarmQueue

    if not arguments.queue.is_file():
        raise UserError("There is no queue of alarms at {path}.", path=arguments.queue)
    queue = AlarmQueue(arguments.queue)
    try:
        return _retry(queue, arguments) if arguments.retry else _list(queue, arguments)
    finally:
        queue.close()


def _list(queue: "AlarmQueue", arguments: argparse.Namespace) -> int:
    letters = queue.dead_letters()
    waiting = {receiver: count for (receiver, state), count in queue.counts().items() if state == "waiting"}
    if arguments.json:
        print(json.dumps({"waiting": waiting, "dead": [_fields(letter) for letter in letters]}))
        return 0
    for receiver, count in waiting.items():
        print(f"{pluralize(count, 'alarm')} for {receiver} waiting.")
    for letter in letters:
        fields = _fields(letter)
        at = fields["time"][:16].replace("T", " ")
        parts = (
            f"{at} UTC",
            letter.receiver,
            fields["alarm"]["camera"],
            pluralize(letter.tries, "failure"),
        )
        print(plain(f"{letter.id:>4}  {' · '.join((*parts, letter.error))}"))
    if not letters:
        print(f"There is no dead letter in {arguments.queue}.")
    return 0


def _retry(queue: "AlarmQueue", arguments: argparse.Namespace) -> int:
    number = None if arguments.retry == "all" else arguments.retry
    if number is not None and not number.isdecimal():
        raise UserError("--retry takes the number of a dead letter, or 'all'; not '{number}'.", number=number)
    revived = queue.revive(None if number is None else int(number))
    if number is not None and not revived:
        raise UserError("There is no dead letter {number} in {path}.", number=number, path=arguments.queue)
    print(json.dumps({"retried": revived}) if arguments.json else f"{pluralize(revived, 'alarm')} will be tried again.")
    return 0


def _fields(letter: "Delivery") -> dict[str, Any]:
    at = datetime.fromtimestamp(letter.put_s, UTC).isoformat(timespec="seconds")
    fields = {name: value for name, value in asdict(letter).items() if name not in ("body", "put_s")}
    return fields | {"time": at, "alarm": json.loads(letter.body)}
