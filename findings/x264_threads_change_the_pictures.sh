#!/usr/bin/env bash
# x264 makes other pictures of the same frames with another number of threads, at a constant rate factor.
# Seen with av 18.1.0 (libx264): with 1 thread twice the same file, with 4 threads pictures that differ. The number is
# that of the machine's cores unless it is set: clips rendered from one seed differ between machines, and so do scores.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PYTHON'
import io

import av
import numpy as np

def waves(shift=0.0, height=180, width=168):
    """A smooth picture, uint8, moved right by `shift` pixels: sums of cosines, so the shift is exact."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    rng = np.random.default_rng(1)
    total = np.zeros((height, width))
    for _ in range(60):
        fx, fy = rng.uniform(-0.25, 0.25, 2)
        total += np.cos(np.pi * (fx * (x - shift) + fy * y) + rng.uniform(0, 2 * np.pi)) * rng.uniform(0.2, 1)
    return np.clip(127 + 9 * total, 0, 255)


def pictures(threads):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "28", "threads": str(threads)})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for i in range(30):
            grey = waves(0.05 * i, 240, 320).round().astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, 2), format="bgr24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(int)


one, again, four = pictures(1), pictures(1), pictures(4)
print("PyAV", av.__version__, "- same frames, crf 28: with 1 thread twice equal:", (one == again).all())
print(f"1 and 4 threads: mean difference {np.abs(one - four).mean():.2f} grey levels, largest {np.abs(one - four).max()}")
assert (one == again).all() and (one != four).any()
PYTHON
