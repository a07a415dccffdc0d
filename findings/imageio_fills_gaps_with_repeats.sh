#!/usr/bin/env bash
# imageio's FFMPEG plugin fills a video of variable rate with repeated frames: a face stands still that did not.
# Seen with imageio 2.38.1 and imageio-ffmpeg 0.8.1: of a video of 70 frames, whose middle second has every third only,
# it gives 90, 20 of them copies of the frame before. Its pyav plugin gives the 70 that are there.
# Between copies flow is exactly zero, and frame numbers no longer count what the camera took.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check av==18.1.0 imageio==2.38.1 imageio-ffmpeg==0.8.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import imageio
import imageio.v3 as iio
import numpy as np

taken = [i for i in range(90) if not (30 <= i < 60 and i % 3)]
with av.open("variable.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=30, options={"crf": "12", "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
    ramp = np.add.outer(np.arange(120), np.arange(160))
    for i in taken:
        frame = av.VideoFrame.from_ndarray(np.repeat(((ramp + 3 * i) % 256)[..., None], 3, 2).astype(np.uint8), format="bgr24")
        frame.pts, frame.time_base = i, Fraction(1, 30)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
filled = iio.imread("variable.mp4", plugin="FFMPEG")
repeats = sum(bool((a == b).all()) for a, b in zip(filled, filled[1:]))
read = iio.imread("variable.mp4", plugin="pyav")
print("imageio", imageio.__version__, "taken", len(taken), "FFMPEG plugin", len(filled), "repeats", repeats, "pyav plugin", len(read))
assert (len(taken), len(filled), repeats, len(read)) == (70, 90, 20, 70)
PYTHON
