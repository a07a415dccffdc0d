"""Parts of the demo clip."""

from pathlib import Path

import av

from merau.stream.demo import CLIP


def demo_start(path: Path, seconds: float) -> Path:
    """Copy the first seconds of the demo clip to `path` without encoding them again; returns `path`."""
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.dts * packet.time_base < seconds:
                packet.stream = stream
                out.mux(packet)
    return path


def encode_demo_start(path: Path, seconds: float) -> Path:
    """The demo's first seconds at `path`, encoded again to have exactly the frames of that time."""
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as target:
        video = target.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "18"})
        video.width, video.height, video.pix_fmt = 640, 480, "yuv420p"
        for frame in source.decode(video=0):
            if frame.time >= seconds:
                break
            target.mux(video.encode(frame))
        target.mux(video.encode(None))
    return path
