"""What coders say of events: the events in a coder's words, and the events that the machine missed."""

import math
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from merau.engine.errors import UserError
from merau.engine.text import is_label, plain
from merau.stream.events import KINDS, Coding, Event, sort_key
from merau.stream.store.models import Session
from merau.stream.store.reader import read_codings, read_events, read_sessions
from merau.stream.store.rows import is_number

MAX_CODER, MAX_NOTE = 40, 1000  # characters
MISSED = "missed-"  # how the ids of events begin that the machine missed
TIMES = ("onset_s", "apex_s", "offset_s")


def new_missed_id() -> str:
    """Return the id of another event that the machine missed."""
    return f"{MISSED}{secrets.token_hex(4)}"


def read_coded_events(path: Path, session: int | None = None, coder: str | None = None) -> list[Event]:
    """Read the events in the words of their coders, by onset: what a coder says of them in place of the machine.

    Events that nobody coded, and those that a coder calls false, are left out. Events that the machine missed are in.

    Args:
        path: The store.
        session: Of this session only.
        coder: In the words of this coder only; by default in the newest ones of each event.

    Raises:
        UserError: The file is not a store.
    """
    events = [*read_events(path, session, coder), *read_missed_events(path, session, coder)]
    return sorted(in_words_of_coders(events), key=lambda event: (event.session or 0, *sort_key(event)))


def in_words_of_coders(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events that have a coding, as their coders describe them, without those that they call false."""
    for event in events:
        if event.coding and not event.coding.is_false:
            yield apply_coding(event, event.coding)


def apply_coding(event: Event, coding: Coding) -> Event:
    """Return the event with what the coder states in place of what the machine said.

    The coder's Action Units and class have the probability 1.
    """
    stated = {name: getattr(coding, name) for name in ("kind", *TIMES) if getattr(coding, name) is not None}
    if coding.aus is not None:
        stated["aus"] = dict.fromkeys(coding.aus, 1.0)
    if coding.label is not None:
        stated |= {"label": coding.label, "probabilities": {coding.label: 1.0}, "uncertain": False}
    return replace(event, **stated, codings=(coding,))


def read_missed_events(path: Path, session: int | None = None, coder: str | None = None) -> list[Event]:
    """Read the events that coders added, with all codings of each.

    They have the kind and the times of their newest coding; `apply_coding` adds Action Units and class.

    Raises:
        UserError: The file is not a store.
    """
    sessions = {found.id: found for found in read_sessions(path)}
    missed: dict[tuple[int, str], list[Coding]] = {}
    for coding in read_codings(path, session, coder):
        if coding.is_missed and coding.session in sessions:
            missed.setdefault((coding.session, coding.event), []).append(coding)
    return [_missed_event(codings, sessions[number]) for (number, _), codings in missed.items()]


def _missed_event(codings: list[Coding], session: Session) -> Event:
    coding = codings[-1]
    kind, onset_s, apex_s, offset_s = coding.kind, coding.onset_s, coding.apex_s, coding.offset_s
    assert kind is not None and onset_s is not None and apex_s is not None and offset_s is not None
    return Event(
        id=coding.event,
        source=session.source,
        track=coding.track or 0,
        kind=kind,
        onset_s=onset_s,
        apex_s=apex_s,
        offset_s=offset_s,
        onset_wall=None,
        strength=math.nan,
        aus={},
        probabilities={},
        label="",
        uncertain=False,
        quality=math.nan,
        final=True,
        bundle="",
        bundle_sha256="",
        session=session.id,
        run=session.run,
        partial=session.partial,
        codings=tuple(codings),
    )


def check_coding(coding: Coding, event: Event | None) -> Coding:
    """Return the coding with plain texts.

    Args:
        coding: What a coder says.
        event: What the machine said of it; None for a missed event.

    Raises:
        UserError: The coding cannot be stored.
    """
    coding = replace(coding, coder=plain(coding.coder).strip(), note=plain(coding.note).strip())
    if len(coding.coder) > MAX_CODER or len(coding.note) > MAX_NOTE:
        raise UserError("A coder's name has at most {coder} characters, a note {note}.", coder=MAX_CODER, note=MAX_NOTE)
    if coding.label is not None and not is_label(coding.label):
        raise UserError("A class needs a name of 1 to 40 characters, on one line.")
    if coding.kind is not None and coding.kind not in KINDS:
        raise UserError("Unknown kind '{kind}': choose one of {kinds}.", kind=coding.kind, kinds=", ".join(KINDS))
    if not all(unit.isdecimal() and len(unit) <= 2 for unit in coding.aus or ()):
        raise UserError("Action Units are numbers with + between them, such as 6+12.")
    _check_times(coding, event)
    return coding


def _check_times(coding: Coding, event: Event | None) -> None:
    stated = [getattr(coding, name) for name in TIMES]
    if event:
        stated = [getattr(event, name) if t_s is None else t_s for name, t_s in zip(TIMES, stated, strict=True)]
    is_complete = event is not None or (coding.kind is not None and coding.track is not None)
    numbers = [*stated, *([] if coding.track is None else [coding.track])]
    if not is_complete or not all(map(is_number, numbers)):
        raise UserError("An event needs a face, a kind, an onset, an apex and an offset.")
    onset_s, apex_s, offset_s = stated
    if not 0 <= onset_s <= apex_s <= offset_s or onset_s == offset_s:
        raise UserError(
            "Onset, apex and offset come in this order: {onset} s, {apex} s and {offset} s do not.",
            onset=f"{onset_s:.3f}",
            apex=f"{apex_s:.3f}",
            offset=f"{offset_s:.3f}",
        )
