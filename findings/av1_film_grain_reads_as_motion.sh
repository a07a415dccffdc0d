#!/usr/bin/env bash
# AV1 with film grain: the decoder in PyAV's wheel paints the noise back that the encoder took out, and flow sees it.
# Seen with av 18.1.0 (libsvtav1, libdav1d) on a still, noisy scene: false flow .043 px with grain and .026 px with the
# decoder's option filmgrain=0, which equals a file encoded without; a pixel varies by 4.7 grey levels instead of 0.9.
# The grain is invented: it is not what the camera saw.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 opencv-python-headless==5.0.0.93
cd "$work"
venv/bin/python - <<'PYTHON'
import io

import av
import cv2
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


def encoded(pictures, grain):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"crf": "35", "preset": "8", "svtav1-params": f"film-grain={grain}"}
        stream = container.add_stream("libsvtav1", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(picture[..., None], 3, 2), format="bgr24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def decoded(data, options):
    with av.open(io.BytesIO(data)) as container:
        container.streams.video[0].codec_context.options = options
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def motion(pictures):
    pairs = zip(pictures, pictures[5:])
    flows = [cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.1, 0) for a, b in pairs]
    return float(np.mean([np.abs(flow[30:-30, 30:-30]).mean() for flow in flows]))


rng = np.random.default_rng(0)
still = [np.clip(waves(0, 240, 320) + rng.normal(0, 6, (240, 320)), 0, 255).astype(np.uint8) for _ in range(30)]
data = encoded(still, 50)
grainy, clean, never = decoded(data, {}), decoded(data, {"filmgrain": "0"}), decoded(encoded(still, 0), {})
print("PyAV", av.__version__, "- a still scene; mean flow px, and deviation of a pixel over time")
for name, pictures in (("grain as decoded", grainy), ("filmgrain=0", clean), ("encoded without", never)):
    print(f"{name}: {motion(pictures):.4f} px, {np.std(pictures, axis=0).mean():.2f}")
assert motion(grainy) > 1.3 * motion(clean) and abs(motion(clean) - motion(never)) < 0.002
assert np.std(grainy, axis=0).mean() > 3 * np.std(clean, axis=0).mean()
PYTHON
