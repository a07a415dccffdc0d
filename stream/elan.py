"""ELAN annotation files (.eaf): written, added to an existing file, and read.

The machine's events are on a tier per face and kind, "face 1 micro". Those of a coder are on tiers of their own, "face
1 micro · anna". Below each of them one tier holds both phases of a movement, which share the apex, and one the details.
"""

import copy
import itertools
import mimetypes
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING
from xml.etree import ElementTree

from merau.engine.bounded import read_bounded
from merau.engine.errors import UserError
from merau.engine.text import plain
from merau.stream.coding import apply_coding
from merau.stream.events import KINDS, Coding, Event
from merau.stream.export_settings import ExportSettings
from merau.stream.formatting import coding_details, event_details

if TYPE_CHECKING:
    from pympi.Elan import Eaf

MACHINE = "merau-live"  # annotator of the machine's tiers
UNNAMED = "coder"  # on a tier of a coder without a name
FALSE, UNCERTAIN = "false event", "uncertain"
PHASES = ("onset-apex", "apex-offset")
VOCABULARY, PHASE_VOCABULARY = "merau kinds and classes", "merau phases"
EVENT_TYPE, PHASE_TYPE, DETAILS_TYPE = "merau event", "merau phase", "merau details"
LANGUAGE = ("und", "http://cdb.iso.org/lg/CDB-00130975-001", "undetermined (und)")  # as ELAN itself writes it
SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
# The order of the elements below ANNOTATION_DOCUMENT, by the schema.
ORDER = (
    "LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE", "CONSTRAINT",
    "CONTROLLED_VOCABULARY", "LEXICON_REF", "REF_LINK_SET", "EXTERNAL_REF",
)  # fmt: skip
NAMES = {  # what names an element that an existing file may have already
    "LINGUISTIC_TYPE": "LINGUISTIC_TYPE_ID",
    "LANGUAGE": "LANG_ID",
    "CONSTRAINT": "STEREOTYPE",
    "CONTROLLED_VOCABULARY": "CV_ID",
}
REFERENCES = ("TIME_SLOT_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2", "ANNOTATION_ID", "ANNOTATION_REF")
NUMBERED = re.compile(r"^(ts|a)(\d+)$")
MAX_BYTES = 32_000_000
LAST_ANNOTATION = "lastUsedAnnotationId"  # ELAN numbers new annotations from here


@dataclass(frozen=True)
class _Annotation:
    """One annotation of an event's tier, with what hangs below it."""

    start_ms: int
    apex_ms: int | None  # None where the event is too short to be divided
    end_ms: int
    value: str
    details: str


@dataclass
class _Tier:
    """Annotations that do not overlap, of one face and kind by one annotator."""

    name: str
    participant: str
    annotator: str
    annotations: list[_Annotation] = field(default_factory=list)


def write_eaf(events: Sequence[Event], file: IO[bytes], settings: ExportSettings | None = None) -> None:
    """Write the events of one recording as ELAN annotations.

    Annotations of a tier must not overlap: events that do are on further tiers, "face 1 speech 2" and so on.
    """
    settings = settings or ExportSettings()
    document = _new_document(events, settings)
    for tier in _tiers(events, settings.labels):
        _add_tier(document, tier)
    _sort_time_slots(document)
    document.properties = [(LAST_ANNOTATION, len(document.annotations))]
    with tempfile.TemporaryDirectory() as folder:  # pympi writes to a path only, and renames an existing file
        path = Path(folder, "events.eaf")
        document.to_file(path)
        file.write(path.read_bytes())


def _new_document(events: Sequence[Event], settings: ExportSettings) -> "Eaf":
    from pympi.Elan import Eaf

    document = Eaf(author=MACHINE)
    document.adocument["DATE"] = datetime.now().astimezone().isoformat(timespec="seconds")  # pympi's: full hours only
    document.adocument |= {"FORMAT": "3.0", "VERSION": "3.0", "xsi:noNamespaceSchemaLocation": SCHEMA}
    document.remove_tier("default")
    document.remove_linguistic_type("default-lt")
    for url, relative_url, mime_type in _media(events, settings.folder):
        document.add_linked_file(url, relative_url, mime_type)
    document.add_language(*LANGUAGE)
    for name, values in ((VOCABULARY, _vocabulary(events)), (PHASE_VOCABULARY, PHASES)):
        document.add_controlled_vocabulary(name)
        document.add_cv_description(name, LANGUAGE[0])
        for number, value in enumerate(values):
            document.add_cv_entry(name, f"cve-{name.replace(' ', '-')}-{number}", [(value, LANGUAGE[0], None)])
    document.add_linguistic_type(EVENT_TYPE, param_dict=_type(EVENT_TYPE, None, VOCABULARY))
    document.add_linguistic_type(PHASE_TYPE, param_dict=_type(PHASE_TYPE, "Time_Subdivision", PHASE_VOCABULARY))
    document.add_linguistic_type(DETAILS_TYPE, param_dict=_type(DETAILS_TYPE, "Symbolic_Association", None))
    return document


def _type(name: str, constraint: str | None, vocabulary: str | None) -> dict[str, str | None]:
    return {
        "LINGUISTIC_TYPE_ID": name,
        "CONSTRAINTS": constraint,
        "TIME_ALIGNABLE": str(constraint != "Symbolic_Association").lower(),
        "GRAPHIC_REFERENCES": "false",
        "CONTROLLED_VOCABULARY_REF": vocabulary,
    }


def _media(events: Sequence[Event], folder: Path | None) -> Iterator[tuple[str, str | None, str]]:
    """Yield absolute and relative address and type of the recording; nothing for a camera."""
    source = Path(plain(events[0].source)) if events else Path()
    mime_type = mimetypes.guess_type(source.name)[0] or ""
    if not mime_type.startswith("video/") or "://" in events[0].source:
        return
    place = source.absolute() if source.exists() else source
    url = place.as_uri() if place.is_absolute() else f"file:./{place.name}"
    beside = f"./{place.name}"
    relative = os.path.relpath(place, folder) if folder and place.is_absolute() else beside
    yield url, relative.replace(os.sep, "/") if relative.startswith((".", os.sep)) else f"./{relative}", mime_type


def _vocabulary(events: Sequence[Event]) -> list[str]:
    classes = {name for event in events for name in event.probabilities}
    labels = {coding.label for event in events for coding in event.codings if coding.label}
    return list(dict.fromkeys([*sorted(map(plain, classes | labels)), UNCERTAIN, *KINDS, FALSE]))


def _tiers(events: Sequence[Event], labels: str) -> Iterator[_Tier]:
    """Yield the tiers, each with its annotations by time: the machine's, then those of each coder."""
    machine = [event for event in events if not (event.coding and event.coding.is_missed)]
    coders = {} if labels == "machine" else dict.fromkeys(c.coder for event in events for c in event.codings)
    if labels != "only":
        yield from _tiers_of(MACHINE, "", [(event, event_value(event), event_details(event)) for event in machine])
    for coder in coders:
        coded = [
            (apply_coding(event, coding), _coded_value(event, coding), coding_details(coding))
            for event in events
            for coding in event.codings
            if coding.coder == coder
        ]
        yield from _tiers_of(coder, f" · {plain(coder) or UNNAMED}", coded)


def _tiers_of(annotator: str, suffix: str, events: Sequence[tuple[Event, str, str]]) -> Iterator[_Tier]:
    tiers: dict[str, list[_Tier]] = {}
    for event, value, details in sorted(events, key=lambda pair: span_ms(pair[0])):
        name = f"face {event.track} {event.kind}"
        of_name = tiers.setdefault(name, [])
        start_ms, end_ms = span_ms(event)
        tier = next((tier for tier in of_name if tier.annotations[-1].end_ms <= start_ms), None)
        if tier is None:
            number = f" {len(of_name) + 1}" if of_name else ""
            tier = _Tier(f"{name}{number}{suffix}", f"face {event.track}", annotator)
            of_name.append(tier)
        apex_ms = round(1000 * event.apex_s)
        is_divided = start_ms < apex_ms < end_ms
        details = plain(f"{event.id} · {details}".removesuffix(" · "))
        tier.annotations.append(_Annotation(start_ms, apex_ms if is_divided else None, end_ms, plain(value), details))
    yield from itertools.chain.from_iterable(tiers.values())


def event_value(event: Event) -> str:
    """Return the annotation of an event: its class, or its kind where it has none."""
    return UNCERTAIN if event.uncertain and event.label else event.label or event.kind


def _coded_value(event: Event, coding: Coding) -> str:
    return FALSE if coding.is_false else coding.label or event_value(replace(event, kind=coding.kind or event.kind))


def span_ms(event: Event) -> tuple[int, int]:
    """Return onset and offset in whole milliseconds, at least one apart: no format allows an empty span."""
    start_ms = max(round(event.onset_s * 1000), 0)
    return start_ms, max(round(event.offset_s * 1000), start_ms + 1)


def _add_tier(document: "Eaf", tier: _Tier) -> None:
    """Add a tier and those below it, into pympi's own tables: its methods find a parent by its time."""
    phases, details = f"{tier.name} phase", f"{tier.name} details"
    of_person = {"part": tier.participant, "ann": tier.annotator}
    document.add_tier(tier.name, EVENT_TYPE, **of_person)
    document.add_tier(phases, PHASE_TYPE, parent=tier.name, **of_person)
    document.add_tier(details, DETAILS_TYPE, parent=tier.name, **of_person)
    for annotation in tier.annotations:
        start, end = _add_slot(document, annotation.start_ms), _add_slot(document, annotation.end_ms)
        event_id = _new_id(document, tier.name)
        document.tiers[tier.name][0][event_id] = (start, end, annotation.value, None)
        if annotation.apex_ms is not None:
            apex = _add_slot(document, annotation.apex_ms)
            for phase, slots in zip(PHASES, itertools.pairwise((start, apex, end)), strict=True):
                document.tiers[phases][0][_new_id(document, phases)] = (*slots, phase, None)
        document.tiers[details][1][_new_id(document, details)] = (event_id, annotation.details, None, None)


def _new_id(document: "Eaf", tier: str) -> str:
    annotation_id = f"a{len(document.annotations) + 1}"
    document.annotations[annotation_id] = tier
    return annotation_id


def _add_slot(document: "Eaf", ms: int) -> str:
    slot = f"ts{len(document.timeslots) + 1}"
    document.timeslots[slot] = ms
    return slot


def _sort_time_slots(document: "Eaf") -> None:
    """Number the time slots by their times, which the format asks for."""
    by_time = sorted(document.timeslots.items(), key=lambda slot: (slot[1], int(slot[0][2:])))
    names = {old: f"ts{number}" for number, (old, _) in enumerate(by_time, 1)}
    document.timeslots = {names[old]: ms for old, ms in by_time}
    for tier in document.tiers.values():
        for annotation_id, (start, end, value, svg) in tier[0].items():
            tier[0][annotation_id] = (names[start], names[end], value, svg)


# --- adding to an existing file


def add_to_eaf(ours: bytes, theirs: bytes, name: Path) -> bytes:
    """Return an existing ELAN file with our tiers in it. What it holds stays as it is.

    Args:
        ours: What `write_eaf` wrote.
        theirs: Content of the existing file.
        name: The existing file, for errors.

    Raises:
        UserError: The existing file is no ELAN file, or has tiers of the same names.
    """
    root, added = parse_eaf(theirs, name), parse_eaf(ours, name)
    with _named_damage(name):
        return _merge(root, added, name)


def _merge(root: ElementTree.Element, added: ElementTree.Element, name: Path) -> bytes:
    tiers = {tier.attrib["TIER_ID"] for tier in root.iter("TIER")}
    if repeated := [tier for element in added.iter("TIER") if (tier := element.attrib["TIER_ID"]) in tiers]:
        raise UserError("{file} has a tier '{tier}' already: rename or delete it first.", file=name, tier=repeated[0])
    _renumber(added, {prefix: _highest(root, prefix) for prefix in ("ts", "a")})
    _merge_time_order(root, added)
    for element in added:
        if element.tag in ("TIER", *NAMES) and not _is_known(root, element):
            _insert(root, copy.deepcopy(element))
    _update_last_annotation(root)
    content: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return content


def load_eaf(path: Path) -> bytes:
    """Read an ELAN file. Raises UserError where it cannot be read."""
    try:
        return read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise UserError("{file} cannot be read: {reason}.", file=path, reason=error.strerror or error) from error


@contextmanager
def _named_damage(name: Path) -> Iterator[None]:
    """Say in one sentence that an element lacks what it needs, or has a number that is none."""
    try:
        yield
    except (KeyError, ValueError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError("{file} is a damaged ELAN file: {reason}.", file=name, reason=reason) from error


def parse_eaf(content: bytes, name: Path) -> ElementTree.Element:
    """Parse an ELAN file, with its comments. Raises UserError where it is none."""
    # Entities, by which a small file can fill the memory, are refused: ELAN writes none.
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))  # noqa: S314
    ElementTree.register_namespace("xsi", INSTANCE)
    try:
        root = None if b"<!ENTITY" in content else ElementTree.fromstring(content, parser)  # noqa: S314
    except ElementTree.ParseError:
        root = None
    if root is None or root.tag != "ANNOTATION_DOCUMENT" or root.find("TIME_ORDER") is None:
        raise UserError("{file} is not an ELAN file.", file=name)
    return root


def _highest(root: ElementTree.Element, prefix: str) -> int:
    values = (element.attrib.get(name, "") for element in root.iter() for name in REFERENCES)
    numbers = [int(match[2]) for value in values if (match := NUMBERED.match(value)) and match[1] == prefix]
    return max(numbers, default=0)


def _renumber(root: ElementTree.Element, offsets: dict[str, int]) -> None:
    for element in root.iter():
        for name in REFERENCES:
            if match := NUMBERED.match(element.attrib.get(name, "")):
                element.attrib[name] = f"{match[1]}{int(match[2]) + offsets[match[1]]}"


def _merge_time_order(root: ElementTree.Element, added: ElementTree.Element) -> None:
    """Add our time slots where they belong by their times; slots without a time stay behind the one before them."""
    order, ours = root.find("TIME_ORDER"), added.find("TIME_ORDER")
    assert order is not None and ours is not None
    keyed: list[tuple[int, ElementTree.Element]] = []
    last_ms = -1
    for slot in order:
        last_ms = int(slot.attrib.get("TIME_VALUE", last_ms))
        keyed.append((last_ms, slot))
    keyed += [(int(slot.attrib["TIME_VALUE"]), copy.deepcopy(slot)) for slot in ours]
    order[:] = [slot for _, slot in sorted(keyed, key=lambda pair: pair[0])]


def _is_known(root: ElementTree.Element, element: ElementTree.Element) -> bool:
    name = NAMES.get(element.tag)
    return name is not None and any(found.attrib.get(name) == element.attrib[name] for found in root.iter(element.tag))


def _insert(root: ElementTree.Element, element: ElementTree.Element) -> None:
    """Insert a child behind all those that come before it or are like it."""
    place = ORDER.index(element.tag)
    before = [i for i, child in enumerate(root) if child.tag in ORDER and ORDER.index(child.tag) <= place]
    root.insert(before[-1] + 1 if before else 0, element)


def _update_last_annotation(root: ElementTree.Element) -> None:
    for entry in root.iter("PROPERTY"):
        if entry.attrib.get("NAME") == LAST_ANNOTATION:
            entry.text = str(_highest(root, "a"))


# --- reading


@dataclass(frozen=True)
class EafAnnotation:
    """One time-aligned annotation.

    Attributes:
        tier: Name of its tier.
        annotator: Of the tier; "" where it states none.
        start_s: Where it begins in the film.
        end_s: Where it ends.
        value: Its text.
        apex_s: Where its first phase ends, if a tier below it divides it in two; None otherwise.
        details: The text that a tier below it associates with it; "" without one.
    """

    tier: str
    annotator: str
    start_s: float
    end_s: float
    value: str
    apex_s: float | None
    details: str


def read_eaf(path: Path) -> list[EafAnnotation]:
    """Read the annotations of all tiers that stand on their own, by tier and time.

    Raises:
        UserError: The file cannot be read or is no ELAN file.
    """
    root = parse_eaf(load_eaf(path), path)
    with _named_damage(path):
        return _all_annotations(root)


def _all_annotations(root: ElementTree.Element) -> list[EafAnnotation]:
    times = {slot.attrib["TIME_SLOT_ID"]: slot.attrib.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    below: dict[str, list[ElementTree.Element]] = {}
    for tier in root.iter("TIER"):
        below.setdefault(tier.attrib.get("PARENT_REF", ""), []).append(tier)
    independent = below.get("", [])
    return [a for tier in independent for a in _annotations(tier, below.get(tier.attrib["TIER_ID"], []), times)]


def _annotations(
    tier: ElementTree.Element, below: Sequence[ElementTree.Element], times: dict[str, str | None]
) -> Iterator[EafAnnotation]:
    details = {ref.attrib["ANNOTATION_REF"]: _text(ref) for child in below for ref in child.iter("REF_ANNOTATION")}
    phases = [span for child in below for span in _spans(child, times)]
    for element, start_s, end_s in sorted(_spans(tier, times), key=lambda found: found[1:]):
        inner = sorted(end for _, start, end in phases if start_s <= start and end < end_s)
        yield EafAnnotation(
            tier.attrib["TIER_ID"],
            tier.attrib.get("ANNOTATOR", ""),
            start_s,
            end_s,
            _text(element),
            inner[0] if len(inner) == 1 else None,
            details.get(element.attrib["ANNOTATION_ID"], ""),
        )


def _spans(
    tier: ElementTree.Element, times: dict[str, str | None]
) -> Iterator[tuple[ElementTree.Element, float, float]]:
    for element in tier.iter("ALIGNABLE_ANNOTATION"):
        start, end = (times.get(element.attrib[f"TIME_SLOT_REF{n}"]) for n in (1, 2))
        if start is not None and end is not None:
            yield element, int(start) / 1000, int(end) / 1000


def _text(element: ElementTree.Element) -> str:
    return plain((element.findtext("ANNOTATION_VALUE") or "").strip())


def tier_names(annotations: Iterable[EafAnnotation]) -> list[str]:
    """Return the names of the tiers, each once."""
    return list(dict.fromkeys(annotation.tier for annotation in annotations))
