"""Decode video on an NVIDIA GPU, through FFmpeg."""

from typing import Literal

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext

from merau.engine.cuda import driver
from merau.engine.errors import Message
from merau.stream.sources.source import system_reason

ON_GPU = Message("decoded on the GPU")


def open_accelerator(wanted: Literal["cpu", "cuda"]) -> tuple[HWAccel | None, Message | None]:
    """Prepare decoding on the wanted device.

    Returns:
        The accelerator for `av.open`, or None to decode on the CPU; and where pictures are expected to be decoded, or
        None if nobody asked for the GPU. FFmpeg falls back to the CPU silently, which only the first picture shows
        (`actual_decoder`).
    """
    if wanted == "cpu":
        return None, None
    accelerator = HWAccel("cuda", allow_software_fallback=True)
    try:
        av.CodecContext.create("h264", "r", hwaccel=accelerator)
    except (av.error.FFmpegError, OSError) as error:
        probe = driver.probe()
        reason = system_reason(error) if probe.gpus else probe.reason
        return None, Message("decoded in software: {reason}", {"reason": reason})
    return accelerator, ON_GPU


def actual_decoder(context: VideoCodecContext, expected: Message | None) -> Message | None:
    """Return where `context` decoded its newest picture: `expected`, unless FFmpeg fell back to the CPU."""
    if expected != ON_GPU or context.pix_fmt == "cuda":
        return expected
    reason = Message("the GPU does not decode {codec} in {format}", {"codec": context.name, "format": context.pix_fmt})
    return Message("decoded in software: {reason}", {"reason": reason})
