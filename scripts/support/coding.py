"""How cameras code video: clips with known movements, coded anew with another codec, bitrate or group of pictures."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from merau.trainers.data.synth import timelines
from merau.trainers.data.synth.clips import ClipPlan, person_bumps
from merau.trainers.data.synth.timelines import Action, Ramp
from scripts.support.clips import PORTRAITS, Clip, render

RATE = 30
DURATION_S = 18.0
MICROS = 7
MICRO_S, APEX_S = 0.3, 0.12  # length of a micro-expression, and its apex
UNCODED_BITS_PER_S = 200_000_000  # x264's quantiser goes down to 0


@dataclass(frozen=True)
class Codec:
    """An encoder as a camera runs it.

    Attributes:
        encoder: FFmpeg's name of it.
        options: Its options.
        intra: Every picture is a key frame.
    """

    encoder: str
    options: dict[str, str]
    intra: bool = False


CODECS = {
    "H.264, low delay": Codec("libx264", {"preset": "veryfast", "tune": "zerolatency"}),
    "H.264, B-frames": Codec("libx264", {"preset": "medium", "bf": "3"}),
    "H.265": Codec("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"}),
    "VP9": Codec("libvpx-vp9", {"deadline": "realtime", "cpu-used": "7", "lag-in-frames": "0"}),
    "AV1": Codec("libsvtav1", {"preset": "10", "svtav1-params": "rtc=1:rc=2:pred-struct=1:lp=1"}),
    "MJPEG": Codec("mjpeg", {}, intra=True),
}


@dataclass(frozen=True)
class Coding:
    """A codec at a bitrate, with a key frame every `key_s` seconds.

    Attributes:
        codec: A key of CODECS.
        kbit_per_s: The bitrate asked for.
        key_s: Seconds from one key frame to the next.
    """

    codec: str
    kbit_per_s: int
    key_s: float

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{self.codec.replace(', ', '-').replace(' ', '-')}-{self.kbit_per_s}-{self.key_s:g}"


def plan_clip(split: str, peak_px: float, seed: int) -> Clip:
    """Plan a clip of 18 s with seven micro-expressions of 0.3 s, a blink in every second pause, and a drifting head."""
    rng = np.random.default_rng(seed)
    portrait = PORTRAITS[split][seed % len(PORTRAITS[split])]
    person = int(rng.integers(2**31))
    bumps = person_bumps(person)
    actions: list[Action] = []
    pause_s = (DURATION_S - 2) / MICROS
    for i in range(MICROS):
        onset_s = float(1.5 + pause_s * i + rng.uniform(0, 0.8))
        label, aus = timelines.draw_expression(rng)
        channels = timelines.expression(rng, aus, peak_px, bumps=bumps)
        actions.append(Action("micro", (Ramp(onset_s, onset_s + APEX_S, onset_s + MICRO_S, channels),), label, peak_px))
        if i % 2:
            actions.append(timelines.blink(rng, onset_s + 0.5 * pause_s))
    settings: dict[str, Any] = {
        "duration_s": DURATION_S,
        "rate": float(RATE),
        "face": portrait.face,
        "face_px": float(rng.uniform(180, 260)),
        "noise": float(rng.uniform(1, 3)),
        "light": float(rng.uniform(0.01, 0.04)),
        "person": person,
        "bit_rate": UNCODED_BITS_PER_S,
    }
    if portrait.at_s is not None:
        settings |= {"start_s": portrait.at_s, "stop_s": portrait.at_s + 0.03}
    return Clip("coding", float(RATE), peak_px, portrait.file, ClipPlan(tuple(actions), **settings), seed)


def code(clip: Clip, coding: Coding | None, cache: Path) -> Path:
    """Return the clip's file as coded; None is the clip as it was rendered. Files in `cache` are used again."""
    source = render(clip, cache)
    if coding is None:
        return source
    path = source.with_name(f"{source.stem}-{coding.name}.mkv")
    if not path.exists():
        unfinished = path.with_suffix(".part.mkv")
        _encode(source, coding, unfinished)
        unfinished.rename(path)
    return path


def _encode(source: Path, coding: Coding, out: Path) -> None:
    codec = CODECS[coding.codec]
    with av.open(str(source)) as film, av.open(str(out), "w") as container:
        stream = container.add_stream(codec.encoder, rate=RATE, options=codec.options)
        video = film.streams.video[0]
        stream.width, stream.height = video.width, video.height
        stream.pix_fmt = "yuvj420p" if codec.encoder == "mjpeg" else "yuv420p"
        stream.bit_rate, stream.thread_count = 1000 * coding.kbit_per_s, 1
        if codec.encoder == "libvpx-vp9":
            stream.codec_context.options = codec.options | {key: str(stream.bit_rate) for key in ("minrate", "maxrate")}
        if not codec.intra:
            stream.gop_size = round(coding.key_s * RATE)
        for i, frame in enumerate(film.decode(video)):
            picture = frame.reformat(format=stream.pix_fmt)
            picture.pts, picture.time_base, picture.pict_type = i, Fraction(1, RATE), 0
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def spans_of(clip: Clip, cache: Path) -> tuple[dict[str, Any], ...]:
    """Return the ground truth of a rendered clip."""
    return tuple(json.loads((cache / clip.name).with_suffix(".truth.json").read_text())["spans"])
