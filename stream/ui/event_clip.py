"""The film of one event: MP4 with every frame at its own time, cut to the face; if asked, the face unrecognizable."""

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

from merau.stream.events import Event

MARGIN_S = 0.4  # before the onset and after the offset
LONGEST_S = 6.0  # of a film; of a longer event the end is left out
SIZE_PX = 360  # of the longer side of the face's part of the picture
AROUND = 0.35  # of the face's size, on each side
CLOCK = 90_000  # ticks a second
BLUR_CELLS = 9  # a blurred face is this many cells across


@dataclass(frozen=True)
class StoredFrame:
    """A frame as it is kept for films: `boxes` are (x0, y0, x1, y1) frame px by track."""

    t_s: float
    jpeg: bytes
    boxes: dict[int, tuple[float, float, float, float]]


def bounds_s(event: Event) -> tuple[float, float]:
    """From when to when the film of `event` goes."""
    start_s = max(event.onset_s - MARGIN_S, 0.0)
    return start_s, min(event.offset_s + MARGIN_S, start_s + LONGEST_S)


def frames_of(stills: Iterable[StoredFrame], event: Event) -> list[StoredFrame]:
    """Those of `stills` that the film of `event` shows."""
    start_s, end_s = bounds_s(event)
    return [still for still in stills if start_s <= still.t_s <= end_s]


def encode(chosen: Sequence[StoredFrame], event: Event) -> bytes | None:
    """The film of `event` as MP4 (H.264), the face steady in the middle; None where no still shows it."""
    boxes = [still.boxes[event.track] for still in chosen if event.track in still.boxes]
    if len(chosen) < 2 or not boxes:
        return None
    first = decoded(chosen[0])
    region = _around(np.array(boxes), first.shape)
    return film((still.t_s, _part(decoded(still), region)) for still in chosen)


def blurred(mp4: bytes) -> bytes:
    """The film with the face as a mosaic of a few cells: what moved is kept apart in the numbers."""
    return film(_mosaics(mp4))


def _mosaics(mp4: bytes) -> Iterator[tuple[float, np.ndarray]]:
    with av.open(io.BytesIO(mp4), "r") as source:
        for picture in source.decode(video=0):
            image = picture.to_ndarray(format="bgr24")
            height, width = image.shape[:2]
            cells = (BLUR_CELLS, max(1, round(BLUR_CELLS * height / width)))
            few = cv2.resize(image, cells, interpolation=cv2.INTER_AREA)
            yield picture.time or 0.0, cv2.resize(few, (width, height), interpolation=cv2.INTER_NEAREST)


def film(pictures: Iterator[tuple[float, np.ndarray]]) -> bytes:
    """(t_s, (H, W, 3) uint8 BGR of even size) each -> MP4 that starts at 0 and shows every picture at its own time.

    The pictures are taken one by one: those of a whole film fill 50 MB.
    """
    zero_s, image = first = next(pictures)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", options={"preset": "veryfast", "crf": "20"})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.time_base = stream.codec_context.time_base = Fraction(1, CLOCK)
        for t_s, image in chain([first], pictures):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = round((t_s - zero_s) * CLOCK), Fraction(1, CLOCK)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def decoded(still: StoredFrame) -> np.ndarray:
    """(H, W, 3) uint8 BGR."""
    image = cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def _around(boxes: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of a region that holds all boxes (N, 4) with room around, inside the picture."""
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    room = AROUND * (high - low)
    x0, y0 = np.maximum(low - room, 0).astype(int)
    x1, y1 = np.minimum(high + room, (shape[1], shape[0])).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _part(image: np.ndarray, region: tuple[int, int, int, int]) -> np.ndarray:
    """The region at most SIZE_PX large, its sides even, as H.264 wants them."""
    x0, y0, x1, y1 = region
    scale = min(1.0, SIZE_PX / max(x1 - x0, y1 - y0))
    size = [max(2, 2 * math.floor(scale * side / 2)) for side in (x1 - x0, y1 - y0)]
    return cv2.resize(image[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
