"""One camera, wired: frames in, updates out. The same object serves live, a file, a test and a benchmark."""

import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import cv2
import numpy as np

from merau.engine.errors import UserError
from merau.engine.flow import flow_picture
from merau.engine.recognizer import Judgement, Prediction, Recognizer
from merau.stream.align import Aligner, AlignSettings, Crop
from merau.stream.events import Event
from merau.stream.faces import Face, FaceSettings, FaceTracker
from merau.stream.scheduling import TURNS, aside
from merau.stream.sources import Frame, Source
from merau.stream.spotter import Span, Spotter, SpotterSettings
from merau.stream.spotter.flow_backend import FlowBackend, describe_runtime

NO_EXPRESSION = "no expression"  # the class of bundles that have one


def unsure(said: Prediction | Judgement, recognizer: Recognizer) -> bool:
    """Whether what `recognizer` said of an event is uncertain: also where it sees no expression, for the spotter saw
    one, unless it was taught on the spot what is none.
    """
    return said.uncertain or (said.label == NO_EXPRESSION and recognizer.lesson is None)


@dataclass(frozen=True)
class PipelineSettings:
    """How one camera is analysed.

    `forget_s`: a face that comes back within this time gets its own baseline back.
    """

    faces: FaceSettings = field(default_factory=FaceSettings)
    align: AlignSettings = field(default_factory=AlignSettings)
    spotter: SpotterSettings = field(default_factory=SpotterSettings)
    forget_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.forget_s > 0:
            raise UserError(f"PipelineSettings.forget_s is {self.forget_s}: choose a time above 0 s.")
        if self.align.crop != self.spotter.crop:
            raise UserError("PipelineSettings.align.crop and .spotter.crop differ: give both the same CropSpec.")


@dataclass(frozen=True)
class FrameResult:
    """What one frame brought; `frame` is None in the last update, which closes what was open."""

    frame: Frame | None
    faces: list[Face]
    crops: list[Crop]
    motion: dict[int, float]  # strongest facial motion over 0.2 s, crop pixels, by track
    noise: dict[int, float]  # the person's noise floor, crop pixels, by track
    events: list[Event]  # provisional and final; the same id replaces what was said before
    compute_ms: float
    state: dict[int, str] = field(default_factory=dict)  # what the spotter is at, by track


@dataclass(frozen=True)
class FaceStageResult:
    """One frame after the first half of its analysis."""

    frame: Frame
    faces: list[Face]
    crops: list[Crop]
    compute_ms: float


class FaceStage:
    """The first half: frames in, faces and their steady crops out. It knows nothing of the second, which may lag."""

    def __init__(self, settings: PipelineSettings):
        self._settings = settings
        self._faces = FaceTracker(settings.faces)
        self._aligners: dict[int, tuple[Aligner, float]] = {}  # and when the face was last analysed

    def process(self, frame: Frame) -> FaceStageResult:
        with TURNS:
            began_s = time.perf_counter()
            faces = self._faces.update(frame)
            crops = [self._aligner(face, frame.t_s).crop(frame, face) for face in faces if not face.quality.reason]
        for track_id, (_, seen_s) in list(self._aligners.items()):
            if frame.t_s - seen_s > self._settings.forget_s:
                del self._aligners[track_id]
        return FaceStageResult(frame, faces, crops, 1e3 * (time.perf_counter() - began_s))

    def _aligner(self, face: Face, t_s: float) -> Aligner:
        known = self._aligners.get(face.track_id)
        aligner = known[0] if known else Aligner(self._settings.align)
        self._aligners[face.track_id] = (aligner, t_s)
        return aligner


@dataclass
class _Track:
    spotter: Spotter
    seen_s: float


class Pipeline:
    """Analyses the frames of one source in order of time."""

    PREFETCH = 3  # frames that `run` may have looked at before the spotter comes to them

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
        self._face_stage = FaceStage(self.settings)
        self._flow = FlowBackend(recognizer, self.settings.spotter.crop)
        self._tracks: dict[int, _Track] = {}
        self._predictions: deque[tuple[Crop, Crop, Prediction]] = deque(maxlen=16)

    def run(self, source: Source) -> Generator[FrameResult]:
        """Updates for every frame that `source`, already opened, gives, and a last one.

        Faces are looked for in a thread, while the spotter is at the frames before: the same updates as from `process`,
        sooner. Whoever closes the iterator early stops the source.
        """
        looks = map(self._face_stage.process, source)
        with ThreadPoolExecutor(1, thread_name_prefix=f"faces {source.name}") as thread:
            try:
                waiting = deque(thread.submit(next, looks, None) for _ in range(self.PREFETCH))
                while (seen := waiting.popleft().result()) is not None:
                    waiting.append(thread.submit(next, looks, None))
                    self.wall_zero = source.wall_zero or self.wall_zero  # a camera may correct it
                    yield self._spot(seen)
            except BaseException:
                source.stop()
                raise
        yield self.finish()

    def describe_runtime(self) -> str:
        """What runs on which device by now, and why, for a person."""
        return describe_runtime(self.recognizer, self._flow)

    def swap_recognizer(self, recognizer: Recognizer) -> None:
        """Ask `recognizer` from the next frame on. Not to be called while a frame is analysed."""
        if recognizer is not self.recognizer:
            self.recognizer = self._flow.recognizer = recognizer
            self._predictions.clear()

    def process(self, frame: Frame) -> FrameResult:
        """Analyses one frame, which must be later than the one before."""
        return self._spot(self._face_stage.process(frame))

    def _spot(self, seen: FaceStageResult) -> FrameResult:
        """The second half: what moved in the crops, and what it means."""
        with TURNS:
            began_s = time.perf_counter()
            events = self._pushed(seen.crops) + self._forget(seen.frame.t_s)
        spotters = {crop.track_id: self._tracks[crop.track_id].spotter for crop in seen.crops}
        return FrameResult(
            seen.frame,
            seen.faces,
            seen.crops,
            {id: spotter.motion_px for id, spotter in spotters.items()},
            {id: spotter.noise_px for id, spotter in spotters.items()},
            events,
            seen.compute_ms + 1e3 * (time.perf_counter() - began_s),
            {id: spotter.state for id, spotter in spotters.items()},
        )

    def _pushed(self, crops: list[Crop]) -> list[Event]:
        events: list[Event] = []
        for crop in crops:
            known = self._tracks.get(crop.track_id)
            track = known or _Track(Spotter(self.settings.spotter, self._doubt, self._flow), crop.t_s)
            self._tracks[crop.track_id], track.seen_s = track, crop.t_s
            events += [self._event(span) for span in track.spotter.push(crop)]
        return events

    def finish(self) -> FrameResult:
        """The stream is over: everything that is open is closed."""
        with TURNS:
            began_s = time.perf_counter()
            events = [self._event(span) for track in self._tracks.values() for span in track.spotter.finish()]
        self._tracks.clear()
        return FrameResult(None, [], [], {}, {}, events, 1e3 * (time.perf_counter() - began_s))

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
        prediction = self._predict(span.onset, span.apex) if expression else None
        bundle = self.recognizer.bundle
        wall = self.wall_zero and self.wall_zero + timedelta(seconds=span.onset_s)
        return Event(
            id=f"{span.track_id}-{span.id}",
            source=self.source_name,
            track=span.track_id,
            kind=span.kind,
            onset_s=span.onset_s,
            apex_s=span.apex_s,
            offset_s=span.offset_s,
            onset_wall=wall.isoformat(timespec="milliseconds") if wall else None,
            strength=span.strength,
            aus=prediction.aus if prediction else {},
            probabilities=prediction.probabilities if prediction else {},
            label=prediction.label if prediction else "",
            uncertain=unsure(prediction, self.recognizer) if prediction else False,
            quality=min(span.onset.quality.score, span.apex.quality.score),
            final=span.final,
            bundle=bundle.name,
            bundle_sha256=bundle.sha256,
            embedding=prediction.embedding.astype(np.float32).tobytes() if prediction else None,
            **(self._pictures(span, expression) if self.keep_pictures else {}),
        )

    def _predict(self, onset: Crop, apex: Crop) -> Prediction:
        """What the recognizer sees; the spotter asks before the event does."""
        for known_onset, known_apex, prediction in self._predictions:
            if known_onset is onset and known_apex is apex:
                return prediction
        predict = self.recognizer.predict
        if self.recognizer.choice.device == "cuda":
            predict = aside(predict)
        prediction = predict(onset.grey, apex.grey)
        self._predictions.append((onset, apex, prediction))
        return prediction

    def _doubt(self, onset: Crop, apex: Crop) -> float | None:
        """Of the face expressing something: below 0 it surely does, above 1 it surely does not; None where the bundle
        does not know faces that express nothing.
        """
        something, nothing = self.recognizer.doubt
        none = self._predict(onset, apex).prior.get(NO_EXPRESSION)
        return None if none is None else (none - something) / (nothing - something)

    def _pictures(self, span: Span, expression: bool) -> dict[str, bytes]:
        pictures = {"onset_jpeg": _encoded(".jpg", span.onset.image), "apex_jpeg": _encoded(".jpg", span.apex.image)}
        if expression:
            field = self.recognizer.facial_flow(span.onset.grey, span.apex.grey)
            pictures["flow_png"] = _encoded(".png", flow_picture(field))
        return pictures


def _encoded(extension: str, image: np.ndarray) -> bytes:
    return cv2.imencode(extension, image)[1].tobytes()
