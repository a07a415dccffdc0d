"""The clip of one event: an MP4 cropped to the face, blurred on request, with every frame at its own time."""

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from merau.engine.validation import check_range
from merau.stream.events import Event

MAX_EVENT_S = 5.2  # the end of a longer event is left out
MAX_ROLL_S = 20.0  # each frame of a face is kept for so long, as a JPEG
MAX_SIDE_PX = 360  # of a clip
MARGIN = 0.35  # around the face, in parts of its size
TICKS_PER_S = 90_000  # of a clip's clock
MOSAIC_CELLS = 9  # in the width of a blurred clip


@dataclass(frozen=True)
class ClipSettings:
    """What a clip shows beside its event, as far as the face was there.

    Attributes:
        before_s: Time before the onset.
        after_s: Time after the offset.
    """

    before_s: float = 0.4
    after_s: float = 0.4

    def __post_init__(self) -> None:
        check_range(self, "before_s", "after_s", low=0, high=MAX_ROLL_S)

    @property
    def longest_s(self) -> float:
        """The longest clip."""
        return self.before_s + MAX_EVENT_S + self.after_s

    def bounds_s(self, onset_s: float, offset_s: float) -> tuple[float, float]:
        """Return the start and end time of an event's clip."""
        start_s = max(onset_s - self.before_s, 0.0)
        return start_s, min(offset_s + self.after_s, start_s + self.longest_s)


DEFAULT_CLIP = ClipSettings()


@dataclass(frozen=True)
class StoredFrame:
    """A frame that is kept for clips.

    Attributes:
        t_s: Its time on the source's clock.
        jpeg: The image.
        boxes: (x0, y0, x1, y1) px of each face, by track.
    """

    t_s: float
    jpeg: bytes
    boxes: dict[int, tuple[float, float, float, float]]

    def decode(self) -> np.ndarray:
        """Decode the image: (H, W, 3) uint8 BGR."""
        image: np.ndarray = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        return image


def frames_of(frames: Iterable[StoredFrame], event: Event, settings: ClipSettings = DEFAULT_CLIP) -> list[StoredFrame]:
    """Select the frames of an event's clip."""
    start_s, end_s = settings.bounds_s(event.onset_s, event.offset_s)
    return [frame for frame in frames if start_s <= frame.t_s <= end_s]


def encode(frames: Sequence[StoredFrame], track: int) -> bytes | None:
    """Encode a clip as MP4 (H.264), cropped to the face `track`; None where no frame shows the face."""
    boxes = [frame.boxes[track] for frame in frames if track in frame.boxes]
    if len(frames) < 2 or not boxes:
        return None
    region = _region_around(np.array(boxes), frames[0].decode().shape)
    return _write_mp4((frame.t_s, _crop(frame.decode(), region)) for frame in frames)


def crop_of_face(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Crop an image (H, W, 3) to the boxes (N, 4) of a face with a margin, as a clip of it is."""
    return _crop(image, _region_around(boxes, image.shape))


def blur(mp4: bytes) -> bytes:
    """Replace the face in a clip by a coarse mosaic, with the times unchanged."""
    return _write_mp4(_mosaics(mp4))


def _mosaics(mp4: bytes) -> Iterator[tuple[float, np.ndarray]]:
    with av.open(io.BytesIO(mp4), "r") as source:
        for frame in source.decode(video=0):
            image = frame.to_ndarray(format="bgr24")
            height, width = image.shape[:2]
            cells = (MOSAIC_CELLS, max(1, round(MOSAIC_CELLS * height / width)))
            coarse = cv2.resize(image, cells, interpolation=cv2.INTER_AREA)
            yield frame.time or 0.0, cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)


def _write_mp4(images: Iterator[tuple[float, np.ndarray]]) -> bytes:
    """Encode images as an MP4 that starts at 0 s and shows every image at its own time.

    The images are consumed one by one: those of a whole clip fill 50 MB.

    Args:
        images: Time in seconds and (H, W, 3) uint8 BGR of even size, each.
    """
    start_s, image = first = next(images)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", options={"preset": "veryfast", "crf": "20"})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        for t_s, image in chain([first], images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = round((t_s - start_s) * TICKS_PER_S), Fraction(1, TICKS_PER_S)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _region_around(boxes: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of a region inside the image that holds all boxes (N, 4) with a margin."""
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    margin = MARGIN * (high - low)
    x0, y0 = np.maximum(low - margin, 0).astype(int)
    x1, y1 = np.minimum(high + margin, (shape[1], shape[0])).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _crop(image: np.ndarray, region: tuple[int, int, int, int]) -> np.ndarray:
    """Crop the region, at most MAX_SIDE_PX large, with even sides, which H.264 needs."""
    x0, y0, x1, y1 = region
    scale = min(1.0, MAX_SIDE_PX / max(x1 - x0, y1 - y0))
    size = [max(2, 2 * math.floor(scale * side / 2)) for side in (x1 - x0, y1 - y0)]
    cropped: np.ndarray = cv2.resize(image[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
    return cropped
