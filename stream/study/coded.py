"""What a coder found in recordings: read from a store, from ELAN files or from a CSV."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from merau.engine.csv_table import is_csv, parse_decimal, read_csv
from merau.engine.errors import Message, UserError
from merau.stream.coding import read_coded_events
from merau.stream.coding_import import MICRO_LIMIT_S
from merau.stream.elan import FALSE, MACHINE, UNCERTAIN, EafAnnotation, load_eaf, parse_eaf, read_eaf
from merau.stream.events import KINDS, Event
from merau.stream.store import read_codings, read_events
from merau.stream.study.participants import path_parts
from merau.stream.study.table import sessions_of_run

# Names of columns, the first that is there.
COLUMNS = {
    "recording": ("recording", "file", "source"),
    "kind": ("kind",),
    "label": ("label", "class"),
    "onset_s": ("onset_s", "onset", "start_s", "start"),
    "apex_s": ("apex_s", "apex"),
    "offset_s": ("offset_s", "offset", "end_s", "end"),
}
DEFAULT_KIND = "micro"
_KIND = re.compile(rf"(?<![a-z])({'|'.join(KINDS)})(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class CodedSpan:
    """One movement as a coder sees it; times in seconds.

    Attributes:
        kind: What sort of movement it is.
        label: The class; None if none was stated.
        onset_s: When it begins.
        apex_s: When it is strongest; None if that was not stated.
        offset_s: When it is over.
    """

    kind: str
    label: str | None
    onset_s: float
    apex_s: float | None
    offset_s: float


@dataclass(frozen=True)
class CodedRecording:
    """All that one coder found in one recording.

    Attributes:
        path: The recording.
        end_s: How long it is; None if that is not known.
        spans: By onset.
        slowdown: Seconds of the film for each second of the times.
    """

    path: str
    end_s: float | None
    spans: tuple[CodedSpan, ...]
    slowdown: float = 1.0


@dataclass(frozen=True)
class Coded:
    """The recordings of one coder.

    Attributes:
        name: Of the coder.
        recordings: What they coded; each with its spans, perhaps none.
        notes: What was assumed.
    """

    name: str
    recordings: tuple[CodedRecording, ...]
    notes: tuple[Message, ...] = ()


def read_coded(source: str, tiers: Mapping[str, str | None], run: str | None = None) -> Coded:
    """Read a store, an ELAN file, a CSV, or a folder of ELAN files and CSVs.

    Args:
        source: A path. "merau.db" gives the machine's events, "merau.db#Ann" those that the coder Ann coded.
        tiers: Kind of movement by the name of a tier; None tells micro from macro by duration. Other tiers have the
            kind that their name or their annotations name.
        run: Name of the store's run; by default that with most recordings.

    Raises:
        UserError: The source cannot be read.
    """
    given, mark, coder = source.partition("#")
    path = Path(given)
    if path.is_dir() and (path / "merau.db").exists():
        path = path / "merau.db"
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() == ".eaf" or is_csv(file)]
        if not files:
            raise UserError("There is no ELAN file, no CSV and no store in {path}.", path=path)
        parts = [_read_file(file, tiers) for file in files]
        notes = tuple(note for part in parts for note in part.notes)
        return Coded(path.name, tuple(recording for part in parts for recording in part.recordings), notes)
    if path.suffix.lower() == ".eaf" or is_csv(path):
        return _read_file(path, tiers)
    return _read_store(path, coder if mark else None, run)


def _read_file(path: Path, tiers: Mapping[str, str | None]) -> Coded:
    return _read_eaf(path, tiers) if path.suffix.lower() == ".eaf" else _read_csv(path)


def _read_store(path: Path, coder: str | None, run: str | None) -> Coded:
    _, sessions, notes = sessions_of_run(path, run)
    if coder is not None:
        coded = {coding.session for coding in read_codings(path, coder=coder)}
        sessions = [session for session in sessions if session.id in coded]
        if not sessions:
            names = sorted({coding.coder for coding in read_codings(path)})
            raise UserError(
                "{path} has no codings of '{coder}': its coders are {names}.",
                path=path,
                coder=coder,
                names=", ".join(f"'{name}'" for name in names) or "none",
            )
        notes = [*notes, Message("Coder {coder} saw the machine's events while coding.", {"coder": coder or "''"})]
    recordings = []
    for session in sessions:
        if coder is None:
            events = [event for event in read_events(path, session.id) if event.final]
        else:
            events = read_coded_events(path, session.id, coder)
        spans = _sorted(_span_of(event) for event in events)
        recordings.append(CodedRecording(session.source, session.end_s, spans, session.slowdown))
    return Coded("machine" if coder is None else coder or "coder", tuple(recordings), tuple(notes))


def _span_of(event: Event) -> CodedSpan:
    label = event.label or None
    return CodedSpan(event.kind, label, event.onset_s, event.apex_s, event.offset_s)


def _sorted(spans: Iterable[CodedSpan]) -> tuple[CodedSpan, ...]:
    return tuple(sorted(spans, key=lambda span: (span.onset_s, span.offset_s, span.kind)))


def _read_csv(path: Path) -> Coded:
    table = read_csv(path)
    columns = {name: next((c for c in choices if c in table.header), "") for name, choices in COLUMNS.items()}
    missing = next((name for name in ("onset_s", "offset_s") if not columns[name]), None)
    if missing:
        raise UserError("{path} lacks the column {column}.", path=path, column=missing)
    found: dict[str, list[CodedSpan]] = {}
    for line, cells in table.rows([column for column in columns.values() if column]):
        row = {name: cells.get(column, "") for name, column in columns.items()}
        spans = found.setdefault(row["recording"] or path.stem, [])
        if row["onset_s"]:  # a row without times says that the recording was coded
            spans.append(_span_of_row(path, line, row))
    recordings = tuple(CodedRecording(name, None, _sorted(spans)) for name, spans in found.items())
    return Coded(path.stem, recordings, table.notes)


def _span_of_row(path: Path, line: int, row: Mapping[str, str]) -> CodedSpan:
    kind = row["kind"].lower() or DEFAULT_KIND
    try:
        onset_s, offset_s = parse_decimal(row["onset_s"]), parse_decimal(row["offset_s"])
        apex_s = parse_decimal(row["apex_s"]) if row["apex_s"] else None
    except ValueError as error:
        raise UserError("{path}, line {line}: '{text}' is no time in s.", path=path, line=line, text=error) from None
    if kind not in KINDS:
        raise UserError("{path}, line {line}: unknown kind '{kind}'.", path=path, line=line, kind=kind)
    if not 0 <= onset_s < offset_s:
        raise UserError("{path}, line {line}: the offset is not after the onset.", path=path, line=line)
    return CodedSpan(kind, row["label"] or None, onset_s, apex_s, offset_s)


def _read_eaf(path: Path, tiers: Mapping[str, str | None]) -> Coded:
    annotations = read_eaf(path)
    if any(annotation.annotator != MACHINE for annotation in annotations):
        annotations = [annotation for annotation in annotations if annotation.annotator != MACHINE]
    named = [annotation for annotation in annotations if annotation.tier in tiers or _named_kind(annotation)]
    ignored = list(dict.fromkeys(a.tier for a in annotations if a not in named and not _is_apex(a, tiers)))
    if ignored and not named:
        raise UserError(
            "{path}: no tier and no annotation names a kind ({kinds}): tell it by --tier '{tier}=micro'.",
            path=path,
            kinds=", ".join(KINDS),
            tier=ignored[0],
        )
    values: dict[str, object] = {"path": path, "tiers": ", ".join(ignored)}
    notes = (Message("{path}: tiers without a kind are left out: {tiers}.", values),) if ignored else ()
    apexes = [(a.start_s + a.end_s) / 2 for a in annotations if _is_apex(a, tiers)]
    spans = (_annotated_span(a, tiers, apexes) for a in named if not _is_apex(a, tiers) and a.value != FALSE)
    recording = CodedRecording(_medium(path), None, _sorted(spans))
    return Coded(path.stem, (recording,), notes)


def _is_apex(annotation: EafAnnotation, tiers: Mapping[str, str | None]) -> bool:
    """Whether an annotation marks the apex of another one."""
    return "apex" in annotation.tier.lower() and annotation.tier not in tiers


def _named_kind(annotation: EafAnnotation) -> str | None:
    """Return the kind that tier or annotation name."""
    named = _KIND.search(annotation.tier) or _KIND.search(annotation.value)
    return named[1].lower() if named else None


def _annotated_span(annotation: EafAnnotation, tiers: Mapping[str, str | None], apexes: Sequence[float]) -> CodedSpan:
    start_s, end_s = annotation.start_s, max(annotation.end_s, annotation.start_s + 0.001)
    by_duration = "micro" if end_s - start_s <= MICRO_LIMIT_S else "macro"
    kind = tiers.get(annotation.tier) or _named_kind(annotation) or by_duration
    text = annotation.value
    label = None if text in ("", UNCERTAIN) or _KIND.fullmatch(text) else text
    apex_s = annotation.apex_s or next((t_s for t_s in apexes if start_s <= t_s <= end_s), None)
    return CodedSpan(kind, label, start_s, apex_s, end_s)


def _medium(path: Path) -> str:
    """Return the path of the film that an ELAN file names; its own path if it names none."""
    for descriptor in parse_eaf(load_eaf(path), path).iter("MEDIA_DESCRIPTOR"):
        url = descriptor.get("MEDIA_URL") or descriptor.get("RELATIVE_MEDIA_URL") or ""
        if film := unquote(urlsplit(url).path):
            return re.sub(r"^/(?=[A-Za-z]:/)", "", film)
    return str(path)


@dataclass(frozen=True)
class JointRecording:
    """One recording in the words of several coders.

    Attributes:
        path: The recording.
        end_s: How long it is; as far as it is coded where no coder's source knows.
        spans: Of each coder.
        slowdown: Seconds of the film for each second of the times.
    """

    path: str
    end_s: float
    spans: tuple[tuple[CodedSpan, ...], ...]
    slowdown: float


def join(coders: Sequence[Coded]) -> tuple[list[JointRecording], list[Message]]:
    """Bring together what several coders say of each recording, by the ends of the recordings' paths.

    Returns:
        The recordings that all coded, and notes on others.

    Raises:
        UserError: There is no such recording, or two recordings have the same name.
    """
    first, *others = coders
    joint, alone = [], []
    for recording in first.recordings:
        found = [_same_recording(recording, first, other) for other in others]
        if all(found):
            joint.append(_join([recording, *(match for match in found if match)]))
        else:
            alone.append(path_parts(recording.path)[-1])
    if not joint:
        raise UserError(
            "{a} and {b} have no recording in common: they are compared by the names of the recordings.",
            a=first.name,
            b=others[0].name,
        )
    notes = [note for coder in coders for note in coder.notes]
    if alone:
        notes.append(Message("Not coded by all, and left out: {names}.", {"names": ", ".join(alone)}))
    return joint, notes


def _same_recording(recording: CodedRecording, coder: Coded, other: Coded) -> CodedRecording | None:
    """Return the recording of another coder whose path has the longest end in common."""
    own = path_parts(recording.path)
    lengths = [(_common_end(own, path_parts(found.path)), found) for found in other.recordings]
    longest = max((length for length, _ in lengths), default=0)
    best = [found for length, found in lengths if length == longest]
    if not longest:
        return None
    if len(best) > 1:
        raise UserError(
            "'{name}' of {a} may be {first} or {second} of {b}: name the recordings with their folders.",
            name=recording.path,
            a=coder.name,
            first=best[0].path,
            second=best[1].path,
            b=other.name,
        )
    back = max(coder.recordings, key=lambda mine: _common_end(path_parts(mine.path), path_parts(best[0].path)))
    return best[0] if back is recording else None


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    length = 0
    while length < min(len(a), len(b)) and a[-1 - length].casefold() == b[-1 - length].casefold():
        length += 1
    return length


def _join(recordings: Sequence[CodedRecording]) -> JointRecording:
    ends_s = [recording.end_s for recording in recordings if recording.end_s]
    coded_s = [span.offset_s for recording in recordings for span in recording.spans]
    path = next((r.path for r in recordings if Path(r.path).is_file()), recordings[0].path)
    slowdown = max((recording.slowdown for recording in recordings), key=lambda value: abs(value - 1))
    spans = tuple(recording.spans for recording in recordings)
    return JointRecording(path, max([*ends_s, *coded_s], default=0.0), spans, slowdown)
