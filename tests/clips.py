"""Pieces of the demo's clip."""

from pathlib import Path

import av

from merau.stream.commands.demo import CLIP


def demo_start(path: Path, seconds: float) -> Path:
    """The demo's first seconds at `path`, its coded pictures untouched."""
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.dts * packet.time_base < seconds:
                packet.stream = stream
                out.mux(packet)
    return path
