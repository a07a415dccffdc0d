"""The tables of a study: faces, their events, and how often and how long they showed what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas
from scipy import stats

from merau.engine.errors import Message, UserError
from merau.stream.coding import in_words_of_coders, read_missed_events
from merau.stream.events import KINDS, SIDES, Event
from merau.stream.formatting import AU_NAMES, LIKELY
from merau.stream.store import FaceTime, Session, read_events, read_faces, read_sessions
from merau.stream.study.participants import PARTICIPANT, Assignment
from merau.stream.summary import EXPRESSIONS

CONFIDENCE = 0.95
UNCERTAIN = "uncertain"
FACE_COLUMNS = ("session", "run", "recording", "face")
MEASURE_COLUMNS = ("measure", "name")
VALUE_COLUMNS = (
    "count", "rate_per_min", "rate_low", "rate_high", "share_of_time", "duration_median_s", "strength_median_px",
)  # fmt: skip


@dataclass(frozen=True)
class Study:
    """The sessions of one run, as tables.

    Attributes:
        run: Name of the run.
        assigned: The columns `participant` and conditions, as far as they are known.
        faces: A row for each face: session, run, recording, face, assigned columns, partial, film_s, analysed_s.
        events: A row for each final event: the first columns of `faces`, analysed_s, then the event's fields.
        notes: What was left out or assumed.
    """

    run: str
    assigned: tuple[str, ...]
    faces: pandas.DataFrame
    events: pandas.DataFrame
    notes: tuple[Message, ...]


def read_study(
    store: Path, assignment: Assignment, *, run: str | None = None, corrected: bool = False, coder: str | None = None
) -> Study:
    """Read the sessions of one run.

    Args:
        store: The store.
        assignment: Whom the recordings show.
        run: Name of the run; by default that with most recordings, the newest of equal ones.
        corrected: Count events as coders corrected them: without those that they call false, with those that were
            missed. Events that nobody coded stay as they are.
        coder: Only the corrections of this coder; by default the newest ones of each event.

    Raises:
        UserError: The store cannot be read, holds no session, or none of this run.
    """
    chosen, sessions, told = sessions_of_run(store, run)
    notes = [*assignment.notes, *told]
    faces, events = list[dict[str, Any]](), list[dict[str, Any]]()
    for session in sessions:
        found = _events(store, session.id, corrected, coder)
        for face in _faces(store, session, found):
            row = _face_row(session, face, assignment)
            faces.append(row)
            events += [_event_row(row, event) for event in found if face and event.track == face.track]
    table = pandas.DataFrame(faces).astype({"face": "Int64"})
    notes += _notes(table, assignment)
    columns = [*FACE_COLUMNS, *assignment.columns, "analysed_s", *_EVENT_COLUMNS]
    numbers = dict.fromkeys(("onset_s", "apex_s", "offset_s", "duration_s", "strength_px"), float)
    found_events = pandas.DataFrame(events, columns=columns).astype({"face": "Int64"} | numbers)
    return Study(chosen, assignment.columns, table, found_events, tuple(notes))


def sessions_of_run(store: Path, run: str | None) -> tuple[str, list[Session], list[Message]]:
    """Return the name of a run, one session for each of its recordings, and notes.

    Raises:
        UserError: The store cannot be read, holds no session, or none of this run.
    """
    sessions = read_sessions(store)
    if not sessions:
        raise UserError("There is no session in {store}.", store=store)
    counts = {session.run: len(_distinct(sessions, session.run)) for session in sessions}
    if run is not None and run not in counts:
        raise UserError("{store} has no run '{run}': choose {runs}.", store=store, run=run, runs=", ".join(counts))
    chosen = run or max(reversed(counts), key=lambda name: counts[name])
    notes = []
    if run is None and len(counts) > 1:
        others = ", ".join(name for name in counts if name != chosen)
        values: dict[str, object] = {"run": chosen, "others": others}
        notes.append(Message("Run {run} is taken. --run chooses another one: {others}.", values))
    return chosen, _distinct(sessions, chosen), notes


def _events(store: Path, session: int, corrected: bool, coder: str | None) -> list[Event]:
    """Return the final events of a session in the machine's words, or as coders corrected them."""
    found = [event for event in read_events(store, session, coder) if event.final]
    if not corrected:
        return [replace(event, codings=()) for event in found]
    missed = read_missed_events(store, session, coder)
    return [event for event in found if not event.coding] + list(in_words_of_coders([*found, *missed]))


def _distinct(sessions: Sequence[Session], run: str) -> list[Session]:
    """Return one session for each recording of a run, the most complete; every session of a camera."""
    best: dict[str, Session] = {}
    for session in sessions:
        if session.run == run:
            key = session.content_sha256 or f"session {session.id}"
            best[key] = max(best.get(key, session), session, key=lambda s: (not s.partial, s.end_s or 0.0, s.id))
    return sorted(best.values(), key=lambda session: session.id)


def _faces(store: Path, session: Session, events: Sequence[Event]) -> list[FaceTime | None]:
    """Return the faces of a session: without their times as an older version stored it; None for no face at all."""
    known = {face.track: face for face in read_faces(store, session.id)}
    unknown = {event.track for event in events} - known.keys()
    known |= {track: FaceTime(track, np.nan, np.nan, np.nan, np.nan) for track in unknown}
    return [known[track] for track in sorted(known)] or [None]


def _face_row(session: Session, face: FaceTime | None, assignment: Assignment) -> dict[str, Any]:
    found = assignment.find(session.source, face.track if face else 0)
    return {
        "session": session.id,
        "run": session.run,
        "recording": session.source,
        "face": face.track if face else None,
        **{name: found.get(name, "") for name in assignment.columns},
        "partial": session.partial,
        "film_s": session.end_s,
        "analysed_s": face.analysed_s if face else 0.0,
    }


_EVENT_COLUMNS = (
    "id", "kind", "onset_s", "apex_s", "offset_s", "duration_s", "strength_px", "class", "class_probability",
    "uncertain", "action_units", "side", "coder",
)  # fmt: skip


def _event_row(face: dict[str, Any], event: Event) -> dict[str, Any]:
    first = {name: value for name, value in face.items() if name not in ("partial", "film_s")}
    units = sorted((unit for unit, probability in event.aus.items() if probability >= LIKELY), key=int)
    return first | {
        "id": event.id,
        "kind": event.kind,
        "onset_s": event.onset_s,
        "apex_s": event.apex_s,
        "offset_s": event.offset_s,
        "duration_s": round(event.offset_s - event.onset_s, 4),
        "strength_px": event.strength,
        "class": event.label or None,
        "class_probability": event.probabilities.get(event.label),
        "uncertain": event.uncertain,
        "action_units": " ".join(units),
        "side": event.side,
        "coder": event.coding.coder if event.coding else None,
    }


def _notes(faces: pandas.DataFrame, assignment: Assignment) -> Iterator[Message]:
    """Say which rows are not what they seem."""
    partial = faces.loc[faces["partial"], "recording"].unique()
    if len(partial):
        yield Message("Partial, as the analysis was interrupted: {names}.", {"names": _names(partial)})
    unknown = faces.loc[faces["analysed_s"].isna(), "recording"].unique()
    if len(unknown):
        yield Message(
            "An older version analysed these: their minutes are not known, and they have no rates: {names}. Analyse "
            "them again.",
            {"names": _names(unknown)},
        )
    empty = faces.loc[faces["face"].isna(), "recording"].unique()
    if len(empty):
        yield Message("No face was found in: {names}.", {"names": _names(empty)})
    several = faces.groupby("recording")["face"].nunique()
    if PARTICIPANT in assignment.columns:
        shared = faces[faces["recording"].isin(several.index[several > 1])].groupby("recording")[PARTICIPANT].nunique()
        if len(shared := shared.index[shared < 2]):
            yield Message(
                "Several faces count for one participant in: {names}. A column face in the CSV tells them apart.",
                {"names": _names(shared)},
            )
        without = faces.loc[(faces[PARTICIPANT] == "") & faces["face"].notna(), "recording"].unique()
        if len(without):
            yield Message("No participant is known for: {names}.", {"names": _names(without)})


def _names(paths: Sequence[str]) -> str:
    """Return the names of recordings with their folder: participants often have recordings of the same name."""
    return ", ".join(str(PurePath(*PurePath(path).parts[-2:])) for path in paths)


def measure(study: Study, by: Sequence[str]) -> pandas.DataFrame:
    """Return how often and how long each group of faces showed each kind, class and Action Unit.

    Classes, Action Units and sides are those of micro- and macro-expressions; an Action Unit counts from a probability
    of 0.5 on.

    Args:
        study: The study.
        by: The columns that make a group; those of a face for a row each.

    Returns:
        A row for each group and measure: the columns `by`, analysed_min, measure (kind, class, au or side), name,
        count, rate_per_min with its exact 95% interval for events that come independently of each other (Garwood
        1936), share_of_time, duration_median_s, strength_median_px.
    """
    known = study.faces[study.faces["analysed_s"].notna() & study.faces["face"].notna()]
    groups = known.groupby(list(by), dropna=False, sort=False)["analysed_s"].sum().reset_index()
    marks = _marks(study.events)
    names = pandas.DataFrame(_measures(marks), columns=MEASURE_COLUMNS)
    keys = [*by, *MEASURE_COLUMNS]
    found = marks.groupby(keys, dropna=False).agg(
        count=("id", "size"),
        covered_s=("covered_s", "sum"),
        duration_median_s=("duration_s", "median"),
        strength_median_px=("strength_px", "median"),
    )
    table = groups.merge(names, how="cross").merge(found.reset_index(), how="left", on=keys)
    table = table.fillna({"count": 0, "covered_s": 0.0}).astype({"count": int})
    minutes = (table["analysed_s"] / 60).where(table["analysed_s"] > 0)
    low, high = poisson_interval(table["count"].to_numpy())
    table = table.assign(
        analysed_min=(table["analysed_s"] / 60).round(4),
        rate_per_min=(table["count"] / minutes).round(4),
        rate_low=(low / minutes).round(4),
        rate_high=(high / minutes).round(4),
        share_of_time=(table["covered_s"] / 60 / minutes).round(4),
    )
    return table[[*by, "analysed_min", *MEASURE_COLUMNS, *VALUE_COLUMNS]]


def _measures(marks: pandas.DataFrame) -> list[tuple[str, str]]:
    """Return all kinds, the classes that occur, and the Action Units that the recognizer knows or that occur."""
    occurring = {what: set(own["name"]) for what, own in marks.groupby("measure")}
    return [
        *(("kind", kind) for kind in KINDS),
        *(("class", name) for name in sorted(occurring.get("class", ()))),
        *(("au", unit) for unit in sorted(occurring.get("au", set()) | AU_NAMES.keys(), key=int)),
        *(("side", side) for side in SIDES if side),
    ]


def _marks(events: pandas.DataFrame) -> pandas.DataFrame:
    """Return a row for each measure that an event counts for, with the seconds that it adds to those before it."""
    expressions = events[events["kind"].isin(EXPRESSIONS)]
    classes = expressions["class"].where(~expressions["uncertain"].astype(bool), UNCERTAIN)
    units = expressions.assign(name=expressions["action_units"].str.split()).explode("name")
    marks = pandas.concat(
        [
            events.assign(measure="kind", name=events["kind"]),
            expressions.assign(measure="class", name=classes),
            units.assign(measure="au"),
            expressions.assign(measure="side", name=expressions["side"].where(expressions["side"] != "")),
        ]
    )
    marks = marks[marks["name"].notna()].sort_values("onset_s")
    own = ["session", "face", *MEASURE_COLUMNS]
    ends_s = marks.groupby(own)["offset_s"].cummax()
    before_s = ends_s.groupby([marks[name] for name in own]).shift().fillna(-np.inf)
    added_s = (marks["offset_s"] - np.maximum(marks["onset_s"], before_s)).clip(lower=0)
    return marks.assign(covered_s=added_s)


def poisson_interval(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact intervals of expected counts (Garwood 1936)."""
    rest = (1 - CONFIDENCE) / 2
    low = np.where(counts > 0, stats.chi2.ppf(rest, 2 * np.maximum(counts, 1)) / 2, 0.0)
    return low, stats.chi2.ppf(1 - rest, 2 * counts + 2) / 2


def widen(measures: pandas.DataFrame, by: Sequence[str]) -> pandas.DataFrame:
    """Return one row a group, with columns such as kind_micro_rate_per_min and au_12_count."""
    values = [name for name in VALUE_COLUMNS if name not in ("rate_low", "rate_high")]
    rows = {}
    for group, own in measures.groupby([*by, "analysed_min"], dropna=False, sort=False):
        rows[group] = {
            f"{what}_{name.replace(' ', '_')}_{value}": number
            for what, name, *numbers in own[[*MEASURE_COLUMNS, *values]].itertuples(index=False)
            for value, number in zip(values, numbers, strict=True)
        }
    wide = pandas.DataFrame(rows.values())
    keys = pandas.DataFrame(rows.keys(), columns=[*by, "analysed_min"])
    return pandas.concat([keys, wide], axis=1)
