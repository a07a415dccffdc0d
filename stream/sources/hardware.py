"""Decoding on an NVIDIA GPU, through FFmpeg."""

from typing import Literal

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.video.stream import VideoStream

from engine.cuda import driver


def decoder(wanted: Literal["cpu", "cuda"]) -> tuple[HWAccel | None, str]:
    """What to give av.open, and what there is to say: None and the reason where the GPU cannot decode at all.

    A codec that it lacks is decoded in software all the same, which shows only once the stream is open (`told`).
    """
    if wanted == "cpu":
        return None, ""
    accelerator = HWAccel("cuda", allow_software_fallback=True)
    try:
        av.CodecContext.create("h264", "r", hwaccel=accelerator)
    except (av.error.FFmpegError, OSError) as error:
        probe = driver.probe()
        return None, f"decoded in software: {error.strerror if probe.gpus else probe.why}"
    return accelerator, "decoded on the GPU"


def told(stream: VideoStream, expected: str) -> str:
    """`expected`, unless the GPU lacks the stream's codec."""
    if expected != "decoded on the GPU" or stream.codec_context.is_hwaccel:
        return expected
    return f"decoded in software: the GPU does not decode {stream.codec_context.name}"
