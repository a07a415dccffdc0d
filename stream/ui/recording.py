"""What the page cuts on demand from the recording of a session: single frames, clips and pictures of events."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from merau.engine.errors import UserError
from merau.stream.events import Event
from merau.stream.faces import FaceTracker
from merau.stream.sources import File, Frame, SourceSettings
from merau.stream.store import Session
from merau.stream.ui.event_clip import DEFAULT_CLIP, StoredFrame, crop_of_face, encode

FRAME_HEIGHT_PX = 480  # of a frame that is shown while one scrubs
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 88)
MAX_FRAMES = 240  # of a clip
FACE_EVERY = 8  # frames of a clip between two in which the face is looked for
FRAME_S = 0.5  # before a time the frame that is shown there lies at most this far


@dataclass(frozen=True)
class Recording:
    """The recording of a session, where it lies.

    Attributes:
        path: The file.
        settings: How it was read.
    """

    path: Path
    settings: SourceSettings

    @classmethod
    def find(cls, session: Session, places: Sequence[Path]) -> "Recording | None":
        """Return the recording of a session; None where it is at none of the places, or not the same any more."""
        path = next((path for path in places if _is_unchanged(path, session)), None)
        if path is None:
            return None
        stated = session.settings.get("source", {})
        rates = {name: stated.get(name) for name in ("rate_hz", "captured_rate_hz")}
        return cls(path, SourceSettings(**rates))

    def frame_at(self, t_s: float) -> bytes:
        """Return the frame that a player shows at a time, as JPEG. Raises UserError where there is none."""
        shown = None
        for at_s, image in self._excerpt(t_s - FRAME_S, t_s + FRAME_S):
            if shown is not None and at_s > t_s + 1e-3:
                break
            shown = image
        if shown is None:
            raise UserError("The recording has no frame at this time.")
        scale = min(1.0, FRAME_HEIGHT_PX / shown.shape[0])
        return _jpeg(cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))

    def clip(self, event: Event) -> bytes | None:
        """Return the clip of an event as MP4; None where its face is not found."""
        return _clip(self, event.track, event.onset_s, event.offset_s)

    def pictures(self, event: Event) -> dict[str, bytes]:
        """Return the face at onset and apex as JPEG, by their names in `Event`; nothing where it is not found."""
        return _pictures(self, event.track, event.onset_s, event.apex_s)

    def frames(self, from_s: float, to_s: float, track: int) -> Iterator[StoredFrame]:
        """Yield frames with the box of a face. Where several are seen nobody knows which it is: the box holds all."""
        tracker, boxes = FaceTracker(), {}
        for index, (t_s, image) in enumerate(self._excerpt(from_s, to_s)):
            if index == MAX_FRAMES:
                return
            if index % FACE_EVERY == 0:
                found = [face.landmarks[:, :2] for face in tracker.update(Frame(image, t_s, index, 0.0))]
                boxes = {track: _box(np.concatenate(found))} if found else {}
            yield StoredFrame(t_s, _jpeg(image), boxes)

    def _excerpt(self, from_s: float, to_s: float) -> Iterator[tuple[float, np.ndarray]]:
        with closing(File(str(self.path), self.settings)) as source:
            yield from source.excerpt(max(from_s, 0.0), to_s)


def forget_excerpts() -> None:
    """Forget the clips and pictures that were cut: their recordings were deleted."""
    _clip.cache_clear()
    _pictures.cache_clear()


@lru_cache(32)
def _clip(recording: Recording, track: int, onset_s: float, offset_s: float) -> bytes | None:
    return encode(list(recording.frames(*DEFAULT_CLIP.bounds_s(onset_s, offset_s), track)), track)


@lru_cache(32)
def _pictures(recording: Recording, track: int, onset_s: float, apex_s: float) -> dict[str, bytes]:
    frames = list(recording.frames(onset_s - FRAME_S, apex_s + FRAME_S, track))
    boxes = np.array([frame.boxes[track] for frame in frames if track in frame.boxes])
    if not len(boxes):
        return {}
    nearest = [min(frames, key=lambda frame: abs(frame.t_s - t_s)) for t_s in (onset_s, apex_s)]
    onset, apex = (_jpeg(crop_of_face(frame.decode(), boxes)) for frame in nearest)
    return {"onset_jpeg": onset, "apex_jpeg": apex}


def _is_unchanged(path: Path, session: Session) -> bool:
    """Whether the file is what was analysed: by its content where that is known, else by its time."""
    try:
        state = path.stat()
        if not path.is_file():
            return False
        if session.content_sha256:
            return _sha256(path, state.st_size, state.st_mtime_ns) == session.content_sha256
        return state.st_mtime < datetime.fromisoformat(session.started).timestamp()
    except (OSError, ValueError):
        return False


@lru_cache(256)
def _sha256(path: Path, size: int, changed_ns: int) -> str:  # the arguments tell whether the file was changed
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _box(points: np.ndarray) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x0, y0, x1, y1


def _jpeg(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", image, JPEG)[1].tobytes())
