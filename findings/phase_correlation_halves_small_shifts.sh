#!/usr/bin/env bash
# OpenCV's phaseCorrelate, which answers in fractions of a pixel, reads a shift below a pixel as about half of it.
# Seen with opencv-python-headless 5.0.0.93: 0.3 px is read as .17, with a Hann window as .24; ECC reads .30.
# A face that is held steady by it keeps half of its motion.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 opencv-python-headless==5.0.0.93
cd "$work"
venv/bin/python - <<'PYTHON'
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

first = waves()
window = cv2.createHanningWindow(first.shape[::-1], cv2.CV_64F)
print("opencv", cv2.__version__, "- shift found, px: phaseCorrelate, the same with a Hann window, ECC")
for shift in (0.1, 0.3, 0.5):
    second = waves(shift)
    plain = cv2.phaseCorrelate(first, second)[0][0] / shift
    windowed = cv2.phaseCorrelate(first, second, window)[0][0] / shift
    start = np.eye(2, 3, dtype=np.float32)
    _, found = cv2.findTransformECC(np.float32(first), np.float32(second), start, cv2.MOTION_TRANSLATION)
    ecc = float(found[0, 2]) / shift
    print(shift, [round(ratio * shift, 3) for ratio in (plain, windowed, ecc)])
    assert plain < 0.7 and windowed < 0.9 and abs(ecc - 1) < 0.06, (shift, plain, windowed, ecc)
PYTHON
