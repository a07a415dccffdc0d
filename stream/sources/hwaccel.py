"""Decoding on an NVIDIA GPU, through FFmpeg."""

from typing import Literal

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext

from merau.engine.cuda import driver

ON_GPU = "decoded on the GPU"


def decoder(wanted: Literal["cpu", "cuda"]) -> tuple[HWAccel | None, str]:
    """What to give av.open, and what there is to say: None and the reason where the GPU cannot decode at all.

    What it cannot decode is decoded in software all the same, which shows only at the first picture (`told`).
    """
    if wanted == "cpu":
        return None, ""
    accelerator = HWAccel("cuda", allow_software_fallback=True)
    try:
        av.CodecContext.create("h264", "r", hwaccel=accelerator)
    except (av.error.FFmpegError, OSError) as error:
        probe = driver.probe()
        return None, f"decoded in software: {error.strerror if probe.gpus else probe.why}"
    return accelerator, ON_GPU


def told(context: VideoCodecContext, expected: str) -> str:
    """`expected`, unless the picture that `context` decoded last came from software: FFmpeg falls back silently."""
    if expected != ON_GPU or context.pix_fmt == "cuda":
        return expected
    return f"decoded in software: the GPU does not decode {context.name} in {context.pix_fmt}"
