"""Clips that are copied without encoding them again."""

from pathlib import Path

import av


def repeat_clip(clip: Path, seconds: float, target: Path) -> Path:
    """Repeat the clip until it lasts `seconds`, without encoding it again; returns `target`."""
    with av.open(str(target), "w") as out:
        stream = None
        offset = 0
        while stream is None or offset * stream.time_base < seconds:
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = stream or out.add_stream_from_template(video, time_base=video.time_base)
                for packet in source.demux(video):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        packet.stream = stream
                        out.mux(packet)
                offset += video.duration
    return target
