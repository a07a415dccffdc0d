"""Events in words: for the screen, the exports and the report."""

from merau.stream.events import Event

LIKELY = 0.5  # from here on an Action Unit is named

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


def describe(event: Event) -> str:
    """The event in a few words: kind, what it is taken for and how surely, and its likely Action Units."""
    units = sorted((unit for unit, probability in event.aus.items() if probability >= LIKELY), key=int)
    words = [event.kind, _verdict(event), " ".join(f"AU{unit}" for unit in units)]
    return " · ".join(word for word in words if word)


def _verdict(event: Event) -> str:
    if not event.probabilities:
        return ""
    percent = f"{event.label} {100 * event.probabilities[event.label]:.0f} %"
    return f"uncertain, perhaps {percent}" if event.uncertain else percent


def line(event: Event) -> str:
    """The event as one line of the screen: "now" at its apex, "final" once it is over."""
    said = "final" if event.final else "now  "
    lasting = f" · {1000 * (event.offset_s - event.onset_s):.0f} ms" if event.final else ""
    start = f"{clock(event.apex_s, exact=True):>9}  face {event.track}  {said}  {describe(event)}"
    return f"{start}{lasting} · {event.strength:.2f} px"


def clock(t_s: float, *, exact: bool = False) -> str:
    """Minutes and seconds, hours where there are any: 1:02:03, 0:07, or 0:07.240."""
    t_s = round(t_s, 3 if exact else 0)
    minutes, seconds = divmod(t_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    rest = f"{seconds:06.3f}" if exact else f"{seconds:02.0f}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def count(number: int, noun: str) -> str:
    """1 face, 2 faces."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
