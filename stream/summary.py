"""One run over one source, added up: the JSON document of `merau analyse`, and what the report draws."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from merau.stream.events import Event, event_fields, sort_key
from merau.stream.pipeline import FrameResult
from merau.stream.store import MotionCurve

BINS = 2400
FIRST_BIN_S = 0.02
EXPRESSIONS = ("micro", "macro")  # the kinds that the recognizer names, and whose pictures the report shows


class Trace:
    """Motion and noise floor of one face over time, px of the crop, each the largest of its bin; NaN where the face was
    not analysed. There are never more than `BINS` bins: they grow as the time does.
    """

    def __init__(self) -> None:
        self.bin_s = FIRST_BIN_S
        self.motion_px = np.full(BINS, np.nan, np.float32)
        self.noise_px = np.full(BINS, np.nan, np.float32)

    def add(self, t_s: float, motion_px: float, noise_px: float) -> None:
        while t_s >= BINS * self.bin_s:
            self._halve()
        i = int(t_s / self.bin_s)
        self.motion_px[i] = np.fmax(self.motion_px[i], motion_px)
        self.noise_px[i] = noise_px

    def curve(self, track: int) -> MotionCurve:
        """What is known so far, as the store keeps it."""
        known = np.flatnonzero(~np.isnan(self.motion_px))
        end = known[-1] + 1 if len(known) else 0
        return MotionCurve(track, self.bin_s, self.motion_px[:end].copy(), self.noise_px[:end].copy())

    def _halve(self) -> None:
        self.bin_s *= 2
        for values in (self.motion_px, self.noise_px):
            values[: BINS // 2] = np.fmax(values[::2], values[1::2])
            values[BINS // 2 :] = np.nan


@dataclass
class Track:
    """One face of the run. `not_analysed` counts its frames by the reason why they were left out."""

    track: int
    from_s: float
    to_s: float = 0.0
    frames: int = 0
    analysed: int = 0
    not_analysed: Counter[str] = field(default_factory=Counter)
    trace: Trace = field(default_factory=Trace)

    def fields(self) -> dict[str, Any]:
        """The track as JSON."""
        return {
            "track": self.track,
            "from_s": round(self.from_s, 4),
            "to_s": round(self.to_s, 4),
            "frames": self.frames,
            "analysed": self.analysed,
            "not_analysed": dict(self.not_analysed),
        }


class Summary:
    """Everything said about one recording so far. `stated_s` is the duration that the file states, if it does."""

    def __init__(self, source: str, stated_s: float | None = None) -> None:
        self.source = source
        self._stated_s = stated_s
        self.frames = 0
        self.end_s = 0.0
        self.tracks: dict[int, Track] = {}
        self._events: dict[str, Event] = {}

    @property
    def events(self) -> list[Event]:
        """The latest word under each id, by onset."""
        return sorted(self._events.values(), key=sort_key)

    def add(self, update: FrameResult) -> None:
        if update.frame is not None:
            self.frames += 1
            self.end_s = update.frame.t_s
            self._add_faces(update, update.frame.t_s)
        for event in update.events:
            if event.kind not in EXPRESSIONS:
                event = replace(event, onset_jpeg=None, apex_jpeg=None, flow_png=None)
            self._events[event.id] = event

    def _add_faces(self, update: FrameResult, t_s: float) -> None:
        for face in update.faces:
            track = self.tracks.setdefault(face.track_id, Track(face.track_id, from_s=t_s))
            track.to_s = t_s
            track.frames += 1
            if face.quality.reason:
                track.not_analysed[face.quality.reason] += 1
        for track_id, motion_px in update.motion.items():
            track = self.tracks[track_id]
            track.analysed += 1
            track.trace.add(t_s, motion_px, update.noise[track_id])

    @property
    def duration_s(self) -> float:
        return max(self._stated_s or 0.0, self.end_s)

    def document(self, elapsed_s: float) -> dict[str, Any]:
        """What `merau analyse FILE --json` prints."""
        return {
            "source": self.source,
            "frames": self.frames,
            "duration_s": round(self.duration_s, 4),
            "elapsed_s": round(elapsed_s, 4),
            "tracks": [track.fields() for track in self.tracks.values()],
            "events": [event_fields(event) for event in self.events],
        }
