"""Whether a stream is coded coarsely, by real encoders."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.stream.sources.support import frames_of

LOW_DELAY = {"preset": "ultrafast", "tune": "zerolatency"}
BETWEEN = {"preset": "veryfast", "bf": "3", "b-adapt": "0"}


def write(path: Path, encoder: str, options: dict[str, str], kbit_per_s: int) -> Path:
    """Three seconds of a noisy picture that drifts, 320x240, a key frame every second."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=30, options=options)
        stream.width, stream.height = 320, 240
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        stream.bit_rate, stream.gop_size = 1000 * kbit_per_s, 30
        texture = np.kron(rng.integers(40, 200, (40, 60)), np.ones((8, 8)))
        for i in range(90):
            grey = texture[:240, i : i + 320] + rng.normal(0, 2, (240, 320))
            picture = av.VideoFrame.from_ndarray(np.repeat(grey.astype(np.uint8)[..., None], 3, 2), "bgr24")
            picture.pts, picture.time_base = i, Fraction(1, 30)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("encoder", "options", "kbit_per_s", "is_coarse"),
    [
        ("libx264", LOW_DELAY, 80, True),
        ("libx264", LOW_DELAY, 1500, False),
        ("libx264", BETWEEN, 80, False),
        ("mjpeg", {}, 2000, False),
    ],
)
def test_few_bits_for_predicted_pictures_are_coarse(tmp_path, encoder, options, kbit_per_s, is_coarse):
    frames = frames_of(write(tmp_path / "a.mkv", encoder, options, kbit_per_s))
    assert len(frames) == 90
    assert not any(frame.coarse for frame in frames[:20])  # it is not known yet
    assert all(frame.coarse == is_coarse for frame in frames[60:])
