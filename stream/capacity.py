"""How many cameras a machine carries: what as many pipelines as it has cores analyse of one clip, at full speed."""

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av

from merau.engine.recognizer import Recognizer
from merau.stream.demo import CLIP
from merau.stream.faces import FaceSettings
from merau.stream.pipeline import Pipeline, PipelineSettings
from merau.stream.scheduling import count_cores
from merau.stream.sources import File, SourceSettings

HEADROOM = 0.25  # share of the machine that is left for the store, clips, viewers and busier pictures
RATE_HZ = 30.0
FRAMES = 120  # of each pipeline
SIZES = ((640, 480), (1280, 720), (1920, 1080))
DETECTORS = ("short", "wide")


@dataclass(frozen=True)
class Kind:
    """A kind of camera: one face in view, H.264, 30 frames in a second.

    Attributes:
        width_px: Width of its picture.
        height_px: Height of its picture.
        detector: Its face detector.
    """

    width_px: int
    height_px: int
    detector: str


@dataclass(frozen=True)
class Capacity:
    """What a machine carries of one kind of camera.

    Attributes:
        kind: The kind of camera.
        frames_per_s: Frames that all cores together decode and analyse in a second.
        cpu_ms_per_frame: CPU time of one frame.
        cameras: Cameras that leave the headroom.
    """

    kind: Kind
    frames_per_s: float
    cpu_ms_per_frame: float
    cameras: int

    def fields(self, machines: int) -> dict[str, Any]:
        """Return it as JSON fields, with the cameras of a cluster: a camera is never parted between machines."""
        numbers = {"frames_per_s": round(self.frames_per_s, 1), "cpu_ms_per_frame": round(self.cpu_ms_per_frame, 2)}
        return asdict(self.kind) | numbers | {"cameras": self.cameras, "cluster_cameras": machines * self.cameras}


def measure_all(load: Callable[[], Recognizer]) -> list[Capacity]:
    """Measure each kind of camera; `load` loads a recognizer for one pipeline."""
    kinds = [Kind(*size, detector) for size in SIZES for detector in DETECTORS]
    return [measure(kind, load) for kind in kinds]


def measure(kind: Kind, load: Callable[[], Recognizer]) -> Capacity:
    """Measure how many frames as many pipelines as there are cores analyse at one time."""
    with tempfile.TemporaryDirectory() as folder:
        clip = CLIP if (kind.width_px, kind.height_px) == SIZES[0] else _scaled(kind, Path(folder) / "clip.mp4")
        settings = PipelineSettings(faces=FaceSettings(detector=kind.detector))
        pipelines = [Pipeline("capacity", load(), settings) for _ in range(count_cores())]
        for pipeline in pipelines:  # nets are loaded at the first frames
            _analyse(pipeline, clip, 5)
        threads = [threading.Thread(target=_analyse, args=(pipeline, clip, FRAMES)) for pipeline in pipelines]
        began_s, cpu_s = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    frames = FRAMES * len(pipelines)
    rate = frames / took_s
    return Capacity(kind, rate, 1000 * cpu_s / frames, int((1 - HEADROOM) * rate / RATE_HZ))


def _analyse(pipeline: Pipeline, clip: Path, frames: int) -> None:
    with File(str(clip), SourceSettings()) as source:
        for frame in islice(source, frames):
            pipeline.process(frame)
    pipeline.finish()


def _scaled(kind: Kind, path: Path) -> Path:
    """Encode the start of the demo at the size of a kind, as a camera would: the face keeps its share of the height."""
    width = round(kind.height_px * 4 / 3) // 2 * 2
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=round(RATE_HZ), options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = kind.width_px, kind.height_px, "yuv420p"
        graph = av.filter.Graph()
        first = source.streams.video[0]
        buffer = graph.add_buffer(template=first)
        scale = graph.add("scale", f"{width}:{kind.height_px}")
        pad = graph.add("pad", f"{kind.width_px}:{kind.height_px}:(ow-iw)/2:0")
        sink = graph.add("buffersink")
        graph.link_nodes(buffer, scale, pad, sink).configure()
        for number, picture in enumerate(islice(source.decode(first), FRAMES)):
            graph.push(picture)
            scaled = graph.pull()
            assert isinstance(scaled, av.VideoFrame)
            scaled.pts, scaled.time_base = number, Fraction(1, round(RATE_HZ))
            target.mux(stream.encode(scaled))
        target.mux(stream.encode(None))
    return path
