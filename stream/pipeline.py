"""One camera, wired: frames in, updates out. The same object serves live, a file, a test and a benchmark."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import cv2
import numpy as np

from engine.errors import UserError
from engine.flow import flow_picture
from engine.recognizer import Prediction, Recognizer
from stream.align import Aligner, AlignSettings, Crop
from stream.events import Event
from stream.faces import Face, FaceSettings, FaceTracker
from stream.sources import Frame, Source
from stream.spotter import Kind, Span, Spotter, SpotterSettings

NO_EXPRESSION = "no expression"  # the class of bundles that have one


@dataclass(frozen=True)
class PipelineSettings:
    """How one camera is analysed.

    `forget_s`: a face that comes back within this time gets its own baseline back. A short movement that the
    recognizer takes for no expression with at least `none_weak` probability, if it is weaker than `weak_snr` noise
    floors, or with at least `none_any`, is no micro-expression but "other".
    """

    faces: FaceSettings = field(default_factory=FaceSettings)
    align: AlignSettings = field(default_factory=AlignSettings)
    spotter: SpotterSettings = field(default_factory=SpotterSettings)
    forget_s: float = 60.0
    none_weak: float = 0.6
    weak_snr: float = 3.5
    none_any: float = 0.9

    def __post_init__(self) -> None:
        for name in ("none_weak", "none_any"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"PipelineSettings.{name} is {getattr(self, name)}: choose a probability, 0 to 1.")
        if not self.forget_s > 0:
            raise UserError(f"PipelineSettings.forget_s is {self.forget_s}: choose a time above 0 s.")
        if self.align.crop != self.spotter.crop:
            raise UserError("PipelineSettings.align.crop and .spotter.crop differ: give both the same CropSpec.")


@dataclass(frozen=True)
class Update:
    """What one frame brought; `frame` is None in the last update, which closes what was open."""

    frame: Frame | None
    faces: list[Face]
    crops: list[Crop]
    motion: dict[int, float]  # strongest facial motion over 0.2 s, crop pixels, by track
    noise: dict[int, float]  # the person's noise floor, crop pixels, by track
    events: list[Event]  # provisional and final; the same id replaces what was said before
    compute_ms: float
    state: dict[int, str] = field(default_factory=dict)  # what the spotter is at, by track


@dataclass
class _Track:
    aligner: Aligner
    spotter: Spotter
    seen_s: float


class Pipeline:
    """Analyses the frames of one source in order of time."""

    def __init__(
        self,
        source_name: str,
        recognizer: Recognizer,
        settings: PipelineSettings | None = None,
        *,
        wall_zero: datetime | None = None,
        keep_pictures: bool = False,
    ):
        self.source_name, self.recognizer = source_name, recognizer
        self.settings = settings or PipelineSettings()
        self.wall_zero, self.keep_pictures = wall_zero, keep_pictures
        self._faces = FaceTracker(self.settings.faces)
        self._tracks: dict[int, _Track] = {}

    def run(self, source: Source) -> Iterator[Update]:
        """Updates for every frame that `source`, already opened, gives, and a last one."""
        for frame in source:
            self.wall_zero = source.wall_zero or self.wall_zero  # a camera may correct it
            yield self.process(frame)
        yield self.finish()

    def process(self, frame: Frame) -> Update:
        """Analyses one frame, which must be later than the one before."""
        began_s = time.perf_counter()
        faces = self._faces.update(frame)
        crops: list[Crop] = []
        events: list[Event] = []
        for face in faces:
            if face.quality.reason:
                continue
            track = self._track(face.track_id, frame.t_s)
            crop = track.aligner.crop(frame, face)
            crops.append(crop)
            events += [self._event(span) for span in track.spotter.push(crop)]
        events += self._forget(frame.t_s)
        seen = [crop.track_id for crop in crops]
        return Update(
            frame,
            faces,
            crops,
            {id: self._tracks[id].spotter.motion_px for id in seen},
            {id: self._tracks[id].spotter.noise_px for id in seen},
            events,
            1e3 * (time.perf_counter() - began_s),
            {id: self._tracks[id].spotter.state for id in seen},
        )

    def finish(self) -> Update:
        """The stream is over: everything that is open is closed."""
        began_s = time.perf_counter()
        events = [self._event(span) for track in self._tracks.values() for span in track.spotter.finish()]
        self._tracks.clear()
        return Update(None, [], [], {}, {}, events, 1e3 * (time.perf_counter() - began_s))

    def _track(self, track_id: int, t_s: float) -> _Track:
        if track_id not in self._tracks:
            self._tracks[track_id] = _Track(Aligner(self.settings.align), Spotter(self.settings.spotter), t_s)
        self._tracks[track_id].seen_s = t_s
        return self._tracks[track_id]

    def _forget(self, t_s: float) -> list[Event]:
        """Closes what a face that has left was doing; forgets it altogether later."""
        events: list[Event] = []
        for track_id, track in list(self._tracks.items()):
            away_s = t_s - track.seen_s
            if away_s > Spotter.GAP_S:
                events += [self._event(span) for span in track.spotter.finish()]
            if away_s > self.settings.forget_s:
                del self._tracks[track_id]
        return events

    def _event(self, span: Span) -> Event:
        expression = span.kind in ("micro", "macro")
        prediction = self.recognizer.predict(span.onset.grey, span.apex.grey) if expression else None
        bundle = self.recognizer.bundle
        wall = self.wall_zero and self.wall_zero + timedelta(seconds=span.onset_s)
        return Event(
            id=f"{span.track_id}-{span.id}",
            source=self.source_name,
            track=span.track_id,
            kind=self._kind(span, prediction),
            onset_s=span.onset_s,
            apex_s=span.apex_s,
            offset_s=span.offset_s,
            onset_wall=wall.isoformat(timespec="milliseconds") if wall else None,
            strength=span.strength,
            aus=prediction.aus if prediction else {},
            probabilities=prediction.probabilities if prediction else {},
            label=prediction.label if prediction else "",
            uncertain=prediction.uncertain if prediction else False,
            quality=min(span.onset.quality.score, span.apex.quality.score),
            final=span.final,
            bundle=bundle.name,
            bundle_sha256=bundle.sha256,
            embedding=prediction.embedding.astype(np.float32).tobytes() if prediction else None,
            **(_pictures(span, prediction) if self.keep_pictures else {}),
        )

    def _kind(self, span: Span, prediction: Prediction | None) -> Kind:
        """The spotter's word, unless the recognizer sees no expression in what it took for a micro-expression."""
        if span.kind != "micro" or prediction is None:
            return span.kind
        none = prediction.probabilities.get(NO_EXPRESSION, 0.0)
        enough = self.settings.none_weak if span.evidence.snr < self.settings.weak_snr else self.settings.none_any
        return "other" if none >= enough else "micro"


def _pictures(span: Span, prediction: Prediction | None) -> dict[str, bytes]:
    pictures = {"onset_jpeg": _encoded(".jpg", span.onset.image), "apex_jpeg": _encoded(".jpg", span.apex.image)}
    if prediction:
        pictures["flow_png"] = _encoded(".png", flow_picture(prediction.flow))
    return pictures


def _encoded(extension: str, image: np.ndarray) -> bytes:
    return cv2.imencode(extension, image)[1].tobytes()
