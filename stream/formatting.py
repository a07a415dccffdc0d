"""Events as text for the terminal, the exports and the report."""

from merau.engine.text import plain
from merau.stream.events import Coding, Event

LIKELY = 0.5  # an Action Unit is named from this probability on

AU_NAMES = {
    "1": "inner brow raiser",
    "2": "outer brow raiser",
    "4": "brow lowerer",
    "5": "upper lid raiser",
    "6": "cheek raiser",
    "7": "lid tightener",
    "9": "nose wrinkler",
    "10": "upper lip raiser",
    "12": "lip corner puller",
    "14": "dimpler",
    "15": "lip corner depressor",
    "17": "chin raiser",
    "20": "lip stretcher",
    "23": "lip tightener",
    "24": "lip pressor",
    "25": "lips part",
    "26": "jaw drop",
}
KIND_NAMES = {
    "micro": "micro-expression",
    "macro": "macro-expression",
    "blink": "blink",
    "head": "head movement",
    "speech": "speech",
    "other": "other movement",
}


def event_summary(event: Event, percent_sign: str = "%") -> str:
    """Return kind, class with its probability, and likely Action Units: "micro · positive 83% · AU6 AU12".

    Args:
        event: The event.
        percent_sign: What follows a percentage.
    """
    units = sorted((unit for unit, probability in event.aus.items() if probability >= LIKELY), key=int)
    parts = (event.kind, _classification(event, percent_sign), " ".join(f"AU{unit}" for unit in units))
    return plain(" · ".join(part for part in parts if part))


def event_details(event: Event) -> str:
    """Return what the machine says of an event beside its class: "83% · AU6 AU12 · 2.31 px · left"."""
    units = sorted((unit for unit, probability in event.aus.items() if probability >= LIKELY), key=int)
    share = f"{percent(event.probabilities[event.label])}%" if event.probabilities else ""
    parts = (share, " ".join(f"AU{unit}" for unit in units), f"{event.strength:.2f} px", event.side)
    return " · ".join(part for part in parts if part)


def coding_details(coding: Coding) -> str:
    """Return what a coder says of an event beside its class: "AU6 AU12 · left side only"."""
    units = " ".join(f"AU{unit}" for unit in coding.aus or ())
    return plain(" · ".join(part for part in (units, coding.note) if part))


def coding_summary(coding: Coding) -> str:
    """Return a coding as text: "anna: macro · smirk · AU6 AU12"."""
    stated = ("false event",) if coding.is_false else (coding.kind, coding.label)
    parts = (*stated, coding_details(coding))
    return plain(f"{coding.coder or 'coder'}: {' · '.join(part for part in parts if part)}")


def percent(probability: float) -> int:
    """Return whole percent; 100 stands for certainty only, so .996 is 99."""
    return round(100 * probability) if probability >= 1 else min(round(100 * probability), 99)


def _classification(event: Event, percent_sign: str) -> str:
    if not event.probabilities:
        return ""
    named = f"{event.label} {percent(event.probabilities[event.label])}{percent_sign}"
    return f"uncertain, perhaps {named}" if event.uncertain else named


def event_line(event: Event, *, with_state: bool = True) -> str:
    """Return the event as one line: apex time, face, summary, duration if known, strength.

    Args:
        event: The event.
        with_state: Whether the line says if the event is provisional or final.
    """
    state = f"{'final' if event.final else 'provisional':<11}  " if with_state else ""
    duration = f" · {1000 * (event.offset_s - event.onset_s):.0f} ms" if event.final else ""
    start = f"{format_timestamp(event.apex_s, exact=True):>9}  face {event.track}  {state}{event_summary(event)}"
    return f"{start}{duration} · {event.strength:.2f} px"


def format_timestamp(t_s: float, *, exact: bool = False) -> str:
    """Return minutes and seconds, and hours where there are any: "1:02:03", "0:07", or exact "0:07.240"."""
    t_s = round(t_s, 3 if exact else 0)
    minutes, seconds = divmod(t_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    rest = f"{seconds:06.3f}" if exact else f"{seconds:02.0f}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def pluralize(number: int, noun: str) -> str:
    """Return "1 face" or "2 faces"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def kind_name(kind: str, number: int) -> str:
    """Return "blink", or "blinks" for any number but one."""
    return KIND_NAMES[kind] + ("" if number == 1 or kind == "speech" else "s")
