"""What one run over a source adds up to: the JSON document of `merau analyse`, and the curves of the report."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from merau.engine.errors import Message
from merau.engine.text import plain
from merau.stream.events import Event, event_fields, sort_key
from merau.stream.formatting import format_timestamp
from merau.stream.pipeline import FrameResult
from merau.stream.presence import Presence
from merau.stream.store import MotionCurve

BINS = 2400
MAX_TRACES = 20  # faces of one session whose motion is kept for the timeline
FIRST_BIN_S = 0.02
REASON_NUMBERS = re.compile(r":? *\{.*")  # what follows the words of a reason: ": {size} px ..."
BRIGHTNESS_STEP = 16  # every such pixel is enough to tell a dark picture
EXPRESSIONS = ("micro", "macro")  # the kinds that the recognizer classifies, and whose images the report shows


class MotionTrace:
    """Motion and noise floor of one face over time, in at most `BINS` bins, which grow with the time.

    Attributes:
        bin_s: Duration of one bin; each bin holds its largest value.
        motion_px: (BINS,) float32 px of the crop; NaN where the face was not analysed.
        noise_px: The same for the noise floor.
    """

    def __init__(self) -> None:
        self.bin_s = FIRST_BIN_S
        self.motion_px = np.full(BINS, np.nan, np.float32)
        self.noise_px = np.full(BINS, np.nan, np.float32)

    def add(self, t_s: float, motion_px: float, noise_px: float) -> None:
        """Add one frame's motion and noise floor."""
        while t_s >= BINS * self.bin_s:
            self._merge_bins()
        i = int(t_s / self.bin_s)
        self.motion_px[i] = np.fmax(self.motion_px[i], motion_px)
        self.noise_px[i] = noise_px

    def curve(self, track: int) -> MotionCurve:
        """Return the bins up to the last known one, as the store keeps them."""
        known = np.flatnonzero(~np.isnan(self.motion_px))
        end = known[-1] + 1 if len(known) else 0
        return MotionCurve(track, self.bin_s, self.motion_px[:end].copy(), self.noise_px[:end].copy())

    def _merge_bins(self) -> None:
        """Double the bins' duration."""
        self.bin_s *= 2
        for values in (self.motion_px, self.noise_px):
            values[: BINS // 2] = np.fmax(values[::2], values[1::2])
            values[BINS // 2 :] = np.nan


class MotionTraces:
    """Motion of the faces of one session: of the first `MAX_TRACES`, so that a long one needs no more memory."""

    def __init__(self) -> None:
        self._traces: dict[int, MotionTrace] = {}

    def add(self, result: FrameResult) -> None:
        """Add one frame's motion."""
        if result.frame is None:
            return
        for track, motion_px in result.motion.items():
            if track in self._traces or len(self._traces) < MAX_TRACES:
                trace = self._traces.setdefault(track, MotionTrace())
                trace.add(result.frame.t_s, motion_px, result.noise[track])

    def curves(self) -> list[MotionCurve]:
        """Return the motion of each face up to now."""
        return [trace.curve(track) for track, trace in list(self._traces.items())]


@dataclass
class TrackSummary:
    """One face of the run.

    Attributes:
        track: Number of the face.
        from_s: When it was first seen.
        to_s: When it was last seen.
        frames: Frames in which it was seen.
        analysed: Frames in which its motion was measured.
        not_analysed: Frames that were left out, by reason, without the reason's numbers: "too small".
        ranges: The least and the largest of each number of a reason.
        trace: Its motion.
    """

    track: int
    from_s: float
    to_s: float = 0.0
    frames: int = 0
    analysed: int = 0
    not_analysed: Counter[str] = field(default_factory=Counter)
    ranges: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    trace: MotionTrace = field(default_factory=MotionTrace)

    def fields(self) -> dict[str, Any]:
        """Return the track as JSON fields."""
        return {
            "track": self.track,
            "from_s": round(self.from_s, 4),
            "to_s": round(self.to_s, 4),
            "frames": self.frames,
            "analysed": self.analysed,
            "not_analysed": dict(self.not_analysed),
            "not_analysed_ranges": {
                reason: {name: list(ends) for name, ends in ranges.items()}
                for reason, ranges in self.ranges.items()
                if ranges
            },
        }

    def add_reason(self, message: Message) -> None:
        """Count a frame in which the face was not analysed."""
        reason = REASON_NUMBERS.sub("", message.template)
        self.not_analysed[reason] += 1
        ranges = self.ranges.setdefault(reason, {})
        for name, value in message.values.items():
            number = float(str(value))
            low, high = ranges.get(name, (number, number))
            ranges[name] = (min(low, number), max(high, number))


class Summary:
    """Events and tracks of one recording.

    Args:
        source: Name of the recording.
        stated_s: Duration that the file states, if it does.

    Attributes:
        notes: What is missing, odd or assumed; in the JSON document, on standard error and in the report alike.
        presence: How long each face was seen and analysed.
        slowdown: Seconds of the film for each second of captured time.
        partial: Whether the analysis was interrupted before the end of the recording.
    """

    def __init__(self, source: str, stated_s: float | None = None) -> None:
        self.source = source
        self._stated_s = stated_s
        self.partial = False
        self.frames = 0
        self.end_s = 0.0
        self._flicker_s = self._flicker_sum = 0.0
        self._grey_sum = 0.0
        self.tracks: dict[int, TrackSummary] = {}
        self.notes: list[Message] = []
        self.presence = Presence()
        self.slowdown = 1.0
        self._events: dict[str, Event] = {}

    @property
    def events(self) -> list[Event]:
        """The last report of each event, by onset."""
        return sorted(self._events.values(), key=sort_key)

    @property
    def duration_s(self) -> float:
        """Duration of the recording: as stated by the file, or up to the last frame, whichever is longer."""
        return max(self._stated_s or 0.0, self.end_s)

    @property
    def brightness(self) -> float:
        """Mean grey of the pictures, 0 to 1."""
        return self._grey_sum / max(self.frames, 1)

    def add(self, result: FrameResult) -> None:
        """Add one frame's faces, motion and events."""
        self.presence.add(result)
        if result.frame is not None:
            self.frames += 1
            self._add_flicker(result.flicker, result.frame.t_s - self.end_s)
            self.end_s = result.frame.t_s
            self._grey_sum += float(result.frame.image[::BRIGHTNESS_STEP, ::BRIGHTNESS_STEP].mean()) / 255
            self._add_faces(result, result.frame.t_s)
        for event in result.events:
            if event.kind not in EXPRESSIONS:
                event = replace(event, onset_jpeg=None, apex_jpeg=None, flow_png=None)
            self._events[event.id] = event

    def interrupt(self) -> None:
        """Mark the summary as partial, and note where the analysis stopped."""
        self.partial = True
        end, whole = format_timestamp(self.end_s), format_timestamp(self.duration_s)
        values: dict[str, object] = {"end": end, "whole": whole}
        self.notes.append(Message("Partial: the analysis was interrupted at {end} of {whole}.", values))

    def note_light(self) -> None:
        """Note light that flickered; call it once, at the end."""
        if self._flicker_s:
            values = {"percent": f"{self._flicker_sum / self._flicker_s:.0%}", "seconds": f"{self._flicker_s:.1f}"}
            self.notes.append(
                Message(
                    "'{name}' was taken in light that flickers by {percent} for {seconds} s, as mains light does:"
                    " it was evened out. Steady light shows smaller movements.",
                    {"name": self.source, **values},
                )
            )

    def _add_flicker(self, flicker: float, step_s: float) -> None:
        if flicker:
            self._flicker_s += step_s
            self._flicker_sum += step_s * flicker

    def _add_faces(self, result: FrameResult, t_s: float) -> None:
        for face in result.faces:
            track = self.tracks.setdefault(face.track_id, TrackSummary(face.track_id, from_s=t_s))
            track.to_s = t_s
            track.frames += 1
            if face.quality.reason:
                track.add_reason(face.quality.reason)
        for track_id, motion_px in result.motion.items():
            track = self.tracks[track_id]
            track.analysed += 1
            track.trace.add(t_s, motion_px, result.noise[track_id])

    def document(self, elapsed_s: float) -> dict[str, Any]:
        """Return the JSON document that `merau analyse FILE --json` prints."""
        return {
            "source": plain(self.source),
            "frames": self.frames,
            "duration_s": round(self.duration_s, 4),
            "elapsed_s": round(elapsed_s, 4),
            "partial": self.partial,
            "notes": [str(note) for note in self.notes],
            "tracks": [track.fields() for track in self.tracks.values()],
            "events": [event_fields(event) for event in self.events],
        }
