"""`merau demo`: a clip whose truth is known, played at its own pace through the live path.

demo.mp4 is the public-domain portrait of an astronaut (NASA), animated by `merau-lab synth`; demo.truth.json tells what
it shows and when.
"""

import json
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from tqdm import tqdm

from merau.stream.events import Event
from merau.stream.formatting import event_line, event_summary, format_timestamp

CLIP = Path(str(files("merau.stream"))) / "demo" / "demo.mp4"
IOU = 0.5  # a span counts as found from here on, as in the Micro-Expression Grand Challenge


@dataclass(frozen=True)
class Pair:
    """A span that is in the clip and the event that was said for it; either is None where it has no counterpart."""

    span: dict[str, Any] | None
    event: Event | None

    @property
    def verdict(self) -> str:
        if self.span is None:
            return "not in the clip"
        if self.event is None:
            return "missed"
        if self.span["kind"] != self.event.kind:
            return f"named {self.event.kind}"
        if (shared := overlap(self.span, self.event)) < IOU:
            return f"overlaps by {100 * shared:.0f} % only"
        return f"found, apex {round(1000 * (self.event.apex_s - self.span['apex_s'])):+d} ms"

    def fields(self) -> dict[str, Any]:
        """The span as JSON, with the id of its event."""
        return {**(self.span or {}), "event": self.event.id if self.event else None, "verdict": self.verdict}


def say(event: Event) -> None:
    """Print the event above the progress bar."""
    tqdm.write(event_line(event))
    sys.stdout.flush()


def mute(event: Event) -> None:
    """Say nothing: --json."""


def truth() -> list[dict[str, Any]]:
    """The clip's spans by onset: kind, label, onset_s, apex_s, offset_s, and the Action Units that move."""
    spans = json.loads(CLIP.with_suffix(".truth.json").read_text())["spans"]
    told = [
        {name: span[name] for name in ("kind", "label", "onset_s", "apex_s", "offset_s")} | {"aus": _units(span)}
        for span in spans
    ]
    return sorted(told, key=lambda span: span["onset_s"])


def _units(span: dict[str, Any]) -> list[str]:
    """Drives are named "12 left" for an Action Unit, "gaze_x" or "yaw" for the rest; 45 is the blink itself."""
    drives = {drive.split()[0] for pulse in span["pulses"] for drive in pulse["amounts"]}
    return sorted((unit for unit in drives if unit.isdigit() and unit != "45"), key=int)


def overlap(span: dict[str, Any], event: Event) -> float:
    """Intersection over union of the two times."""
    common_s = min(span["offset_s"], event.offset_s) - max(span["onset_s"], event.onset_s)
    whole_s = max(span["offset_s"], event.offset_s) - min(span["onset_s"], event.onset_s)
    return max(common_s, 0.0) / whole_s if whole_s > 0 else 0.0


def pairs(spans: list[dict[str, Any]], events: list[Event]) -> list[Pair]:
    """Each span with an event that finds it, or else overlaps it most, one to one, and what is left; by time."""
    shared = {(i, j): overlap(span, event) for i, span in enumerate(spans) for j, event in enumerate(events)}
    chosen: dict[int, int] = {}
    for i, j in sorted(shared, key=lambda ij: (_found(spans[ij[0]], events[ij[1]]), shared[ij]), reverse=True):
        if shared[i, j] > 0 and i not in chosen and j not in chosen.values():
            chosen[i] = j
    together = [Pair(span, events[chosen[i]] if i in chosen else None) for i, span in enumerate(spans)]
    extra = [Pair(None, event) for j, event in enumerate(events) if j not in chosen.values()]
    return sorted(together + extra, key=_start_s)


def _found(span: dict[str, Any], event: Event) -> bool:
    return bool(span["kind"] == event.kind) and overlap(span, event) >= IOU


def _start_s(pair: Pair) -> float:
    return pair.span["onset_s"] if pair.span else pair.event.onset_s if pair.event else 0.0


def table(found: list[Pair]) -> str:
    """Truth and events side by side."""
    rows = [("in the clip", "said", ""), *((_told(pair.span), _said(pair.event), pair.verdict) for pair in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{a:<{widths[0]}}   {b:<{widths[1]}}   {c}".rstrip() for a, b, c in rows)


def _told(span: dict[str, Any] | None) -> str:
    if span is None:
        return "-"
    units = " ".join(f"AU{unit}" for unit in span["aus"])
    words = " · ".join(word for word in (span["kind"], span["label"], units) if word)
    return f"{format_timestamp(span['apex_s'], exact=True)} {words}"


def _said(event: Event | None) -> str:
    return f"{format_timestamp(event.apex_s, exact=True)} {event_summary(event)}" if event else "-"
