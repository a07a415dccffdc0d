#!/usr/bin/env bash
# scikit-image's TV-L1 flow of one pair depends on whether its grey values run to 1 or to 255.
# Seen with scikit-image 0.26.0: a smooth picture that moves by 0.5 px is read as .50 from floats in 0..1 and from
# uint8, and as .76 from the same values as floats in 0..255 (1 px: as .12), without a warning: the data term is
# not scaled. Flow sets made by it differ by how pictures were loaded.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scikit-image==0.26.0
cd "$work"
venv/bin/python - <<'PYTHON'
import numpy as np
import skimage
from skimage.registration import optical_flow_tvl1

def waves(shift=0.0, height=180, width=168):
    """A smooth picture, uint8, moved right by `shift` pixels: sums of cosines, so the shift is exact."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    rng = np.random.default_rng(1)
    total = np.zeros((height, width))
    for _ in range(60):
        fx, fy = rng.uniform(-0.25, 0.25, 2)
        total += np.cos(np.pi * (fx * (x - shift) + fy * y) + rng.uniform(0, 2 * np.pi)) * rng.uniform(0.2, 1)
    return np.clip(127 + 9 * total, 0, 255)

middle = np.s_[40:-40, 40:-40]
print("scikit-image", skimage.__version__, "- horizontal TV-L1 flow of a known shift, px: floats 0..1, uint8, floats 0..255")
for shift in (0.25, 0.5, 1.0):
    first, second = waves(), waves(shift)
    pairs = ((first / 255, second / 255), (np.uint8(first.round()), np.uint8(second.round())), (first, second))
    unit, integer, wide = (optical_flow_tvl1(a, b)[1][middle].mean() / shift for a, b in pairs)
    print(shift, [round(float(ratio * shift), 3) for ratio in (unit, integer, wide)])
    assert abs(unit - 1) < 0.05 and abs(integer - 1) < 0.05 and abs(wide - 1) > 0.1, (shift, unit, integer, wide)
PYTHON
