"""Analyse one source: frames in, frame results out. Live cameras, recordings, tests and benchmarks use it alike."""

import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import cv2
import numpy as np

from merau.engine.errors import Message, UserError
from merau.engine.few_shot import FewShotHead
from merau.engine.flow import flow_picture
from merau.engine.recognizer import Prediction, Recognizer
from merau.engine.validation import check_range
from merau.stream.align import Aligner, AlignSettings, Crop
from merau.stream.events import Event, Side
from merau.stream.faces import Face, FaceSettings, FaceTracker
from merau.stream.scheduling import CPU_SLOTS, CpuSlots
from merau.stream.side import side_of
from merau.stream.signals import interrupts_after_step
from merau.stream.sources import Frame, Source
from merau.stream.spotter import Span, Spotter, SpotterSettings
from merau.stream.spotter.flow_backend import FlowBackend, describe_runtime
from merau.stream.spotter.span_net import span_net
from merau.stream.spotter.spotter import MAX_FRAME_GAP_S

MAX_CLIP_FRAMES = 256  # of a face, kept for recognizers that see whole clips


@dataclass(frozen=True)
class PipelineSettings:
    """How one source is analysed.

    Attributes:
        faces: How faces are found and tracked.
        align: How crops are aligned.
        spotter: How movements are spotted.
        forget_s: A face that returns within this time gets its own baseline back.
        mask: Polygons that are painted black before anything looks at a frame; points as shares of width and height.
    """

    faces: FaceSettings = field(default_factory=FaceSettings)
    align: AlignSettings = field(default_factory=AlignSettings)
    spotter: SpotterSettings = field(default_factory=SpotterSettings)
    forget_s: float = 60.0
    mask: tuple[tuple[tuple[float, float], ...], ...] = ()

    def __post_init__(self) -> None:
        check_range(self, "forget_s", above=0)
        if self.align.crop != self.spotter.crop:
            raise UserError("PipelineSettings.align.crop and .spotter.crop differ: give both the same CropSpec.")


@dataclass(frozen=True)
class FrameResult:
    """The result of one frame, or of the end of the stream.

    Attributes:
        frame: The frame; None in the last result, which closes whatever was open.
        faces: The faces in the frame, those too poor to analyse included.
        crops: The aligned crops of the faces that were analysed.
        motion: Strongest facial motion over 0.2 s, crop px, by track.
        noise: The person's noise floor, crop px, by track.
        events: Provisional and final events; an event replaces earlier ones with its id.
        compute_ms: Computing time.
        state: State of the spotter, for display, by track.
    """

    frame: Frame | None
    faces: list[Face]
    crops: list[Crop]
    motion: dict[int, float]
    noise: dict[int, float]
    events: list[Event]
    compute_ms: float
    state: dict[int, str] = field(default_factory=dict)

    @property
    def flicker(self) -> float:
        """Amplitude of the light's flicker as a share of the light, 0 to 1; 0 while it is steady."""
        return max((crop.flicker for crop in self.crops), default=0.0)


@dataclass(frozen=True)
class FaceStageResult:
    """The faces and crops of one frame, before spotting."""

    frame: Frame
    faces: list[Face]
    crops: list[Crop]
    compute_ms: float


class FaceStage:
    """The first half of the analysis: find faces and cut their aligned crops.

    It does not depend on the second half, spotting, and may run ahead of it in another thread.
    """

    def __init__(self, settings: PipelineSettings, slots: CpuSlots = CPU_SLOTS):
        self._settings, self._slots = settings, slots
        self._faces = FaceTracker(settings.faces)
        self._aligners: dict[int, tuple[Aligner, float]] = {}  # and when the face was last analysed

    @interrupts_after_step()
    def process(self, frame: Frame) -> FaceStageResult:
        """Find the faces in `frame`, which must be later than the one before."""
        with self._slots:
            start_s = time.perf_counter()
            _paint_black(frame.image, self._settings.mask)
            faces = self._faces.update(frame)
            crops = [self._aligner(face, frame.t_s).crop(frame, face) for face in faces if not face.quality.reason]
        for track_id, (_, last_s) in list(self._aligners.items()):
            if frame.t_s - last_s > self._settings.forget_s:
                del self._aligners[track_id]
        return FaceStageResult(frame, faces, crops, 1e3 * (time.perf_counter() - start_s))

    def _aligner(self, face: Face, t_s: float) -> Aligner:
        known = self._aligners.get(face.track_id)
        aligner = known[0] if known else Aligner(self._settings.align)
        self._aligners[face.track_id] = (aligner, t_s)
        return aligner


@dataclass
class _TrackState:
    spotter: Spotter
    last_s: float  # time of the newest crop
    recent: deque[tuple[float, np.ndarray]] = field(default_factory=lambda: deque(maxlen=MAX_CLIP_FRAMES))  # grey crops


class Pipeline:
    """Analyse the frames of one source in order of time.

    Args:
        source_name: Name of the source in its events.
        recognizer: Classifies the spotted expressions; its bundle holds the spotter's classifier.
        settings: How the source is analysed.
        wall_zero: Wall-clock time of 0 s on the source's clock, if known.
        keep_pictures: Add images of onset, apex and flow to the events.
        slots: CPU slots, shared by all pipelines of the process by default.

    Attributes:
        every: `run` analyses only one of so many frames; may be changed while it runs.
    """

    PREFETCH = 3  # frames whose faces `run` may find before the spotter gets to them

    def __init__(
        self,
        source_name: str,
        recognizer: Recognizer,
        settings: PipelineSettings | None = None,
        *,
        wall_zero: datetime | None = None,
        keep_pictures: bool = False,
        slots: CpuSlots = CPU_SLOTS,
    ):
        self.source_name, self.recognizer = source_name, recognizer
        self.settings = settings or PipelineSettings()
        self.wall_zero, self.keep_pictures = wall_zero, keep_pictures
        self.every = 1
        self._slots = slots
        self._face_stage = FaceStage(self.settings, slots)
        self._flow = FlowBackend(recognizer, self.settings.spotter.crop, slots)
        self._classifier = span_net(recognizer.bundle)
        self._tracks: dict[int, _TrackState] = {}
        self._predictions: deque[tuple[Crop, Crop, FewShotHead | None, Prediction]] = deque(maxlen=16)

    def run(self, source: Source) -> Generator[FrameResult]:
        """Analyse the frames of an opened source; a last result closes what is open.

        A thread finds the faces of the next frames while the spotter works on this one. The results are the same as
        those of `process`. Closing the iterator early stops the source.
        """
        stages = map(self._face_stage.process, (frame for frame in source if frame.index % self.every == 0))
        with ThreadPoolExecutor(1, thread_name_prefix=f"faces {source.name}") as thread:
            try:
                waiting = deque(thread.submit(next, stages, None) for _ in range(self.PREFETCH))
                while (stage := waiting.popleft().result()) is not None:
                    waiting.append(thread.submit(next, stages, None))
                    self.wall_zero = source.wall_zero or self.wall_zero  # a camera may correct it
                    yield self._spot(stage)
            except BaseException:
                source.stop()
                raise
        yield self.finish()

    def process(self, frame: Frame) -> FrameResult:
        """Analyse one frame, which must be later than the one before."""
        return self._spot(self._face_stage.process(frame))

    @interrupts_after_step()
    def finish(self) -> FrameResult:
        """End the stream: close everything that is open."""
        with self._slots:
            start_s = time.perf_counter()
            events = [self._event(span) for track in self._tracks.values() for span in track.spotter.finish()]
        self._tracks.clear()
        return FrameResult(None, [], [], {}, {}, events, 1e3 * (time.perf_counter() - start_s))

    def swap_recognizer(self, recognizer: Recognizer) -> None:
        """Use `recognizer` from the next frame on. Must not be called while a frame is analysed."""
        if recognizer is not self.recognizer:
            self.recognizer, self._classifier = recognizer, span_net(recognizer.bundle)
            self._predictions.clear()
            for track in self._tracks.values():
                track.spotter.classifier = self._classifier

    def describe_runtime(self) -> Message:
        """Say for a person what runs on which device at present, and why."""
        return describe_runtime(self.recognizer, self._flow)

    @interrupts_after_step()
    def _spot(self, stage: FaceStageResult) -> FrameResult:
        """The second half of the analysis: what moves in the crops, and what it means."""
        with self._slots:
            start_s = time.perf_counter()
            events = self._push(stage.crops) + self._close_lost_tracks(stage.frame.t_s)
        spotters = {crop.track_id: self._tracks[crop.track_id].spotter for crop in stage.crops}
        return FrameResult(
            stage.frame,
            stage.faces,
            stage.crops,
            {id: spotter.motion_px for id, spotter in spotters.items()},
            {id: spotter.noise_px for id, spotter in spotters.items()},
            events,
            stage.compute_ms + 1e3 * (time.perf_counter() - start_s),
            {id: spotter.state for id, spotter in spotters.items()},
        )

    def _push(self, crops: list[Crop]) -> list[Event]:
        events: list[Event] = []
        for crop in crops:
            track = self._tracks.get(crop.track_id)
            if track is None:
                spotter = Spotter(self._classifier, self.settings.spotter, self._flow)
                track = self._tracks[crop.track_id] = _TrackState(spotter, crop.t_s)
            track.last_s = crop.t_s
            if self._sees_clips:
                track.recent.append((crop.t_s, crop.grey))
            events += [self._event(span) for span in track.spotter.push(crop)]
        return events

    def _close_lost_tracks(self, t_s: float) -> list[Event]:
        """Close the movements of faces that have left, and forget faces that stay away."""
        events: list[Event] = []
        for track_id, track in list(self._tracks.items()):
            away_s = t_s - track.last_s
            if away_s > MAX_FRAME_GAP_S:
                events += [self._event(span) for span in track.spotter.finish()]
            if away_s > self.settings.forget_s:
                del self._tracks[track_id]
        return events

    def _event(self, span: Span) -> Event:
        is_expression = span.kind in ("micro", "macro")
        prediction = self._predict(span) if is_expression else None
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
            uncertain=prediction.uncertain if prediction else False,
            quality=min(span.onset.quality.score, span.apex.quality.score),
            final=span.final,
            bundle=bundle.name,
            bundle_sha256=bundle.sha256,
            head_sha256=prediction.head_sha256 if prediction else "",
            side=self._side(span.onset, span.apex) if is_expression else "",
            embedding=prediction.embedding.astype(np.float32).tobytes() if prediction else None,
            **(self._images(span, is_expression) if self.keep_pictures else {}),
        )

    @property
    def _sees_clips(self) -> bool:
        return self.recognizer.clip is not None and not self.recognizer.clip.is_pair

    def _predict(self, span: Span) -> Prediction:
        """The recognizer's prediction; the newest are kept, since an event's final pair is often its first."""
        onset, apex = span.onset, span.apex
        head = self.recognizer.few_shot_head  # read once: teaching may replace it meanwhile
        for known_onset, known_apex, known_head, prediction in self._predictions:
            if known_onset is onset and known_apex is apex and known_head is head:
                return prediction
        if self.recognizer.runtime.device == "cuda":
            with self._slots.released():
                prediction = self.recognizer.predict(onset.grey, apex.grey, spotted=True)
        else:
            recent = self._tracks[span.track_id].recent if self._sees_clips else ()
            between = [grey for t_s, grey in recent if onset.t_s < t_s < apex.t_s]
            prediction = self.recognizer.predict(onset.grey, apex.grey, between=between, spotted=True)
        self._predictions.append((onset, apex, head, prediction))
        return prediction

    def _side(self, onset: Crop, apex: Crop) -> Side:
        return side_of(self.recognizer.facial_flow(onset.grey, apex.grey))

    def _images(self, span: Span, is_expression: bool) -> dict[str, Any]:
        images: dict[str, Any] = {
            "onset_jpeg": _encode(".jpg", span.onset.image),
            "apex_jpeg": _encode(".jpg", span.apex.image),
        }
        if is_expression:
            flow = self.recognizer.facial_flow(span.onset.grey, span.apex.grey)
            images["flow_png"] = _encode(".png", flow_picture(flow))
        return images


def _paint_black(image: np.ndarray, mask: tuple[tuple[tuple[float, float], ...], ...]) -> None:
    """Paint the polygons of a mask into an image (H, W, 3): what they cover is neither analysed, shown nor stored."""
    height, width = image.shape[:2]
    for polygon in mask:
        points = np.array(polygon) * (width, height)
        cv2.fillPoly(image, [points.round().astype(np.int32)], (0, 0, 0))


def _encode(extension: str, image: np.ndarray) -> bytes:
    encoded: np.ndarray = cv2.imencode(extension, image)[1]
    return encoded.tobytes()
