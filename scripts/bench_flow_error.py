"""How a flow method errs compared with DIS: `python scripts/bench_flow_error.py` prints JSON.

The figures are the ERRORS of trainers/data/synth/flow_fields.py.

Aligned crops of the animated astronaut are warped by random expressions and head motion, so that the true flow is
known, and get sensor noise of 0.5 to 4 grey levels. A method's flow is averaged over the cells of the generator and
compared with the true flow, blurred as the generator blurs it by the width that fits best for each pair. The residual
is the error of the method.
"""

import json
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.flow import flow, texture
from merau.trainers.data.synth import flow_fields as flows
from merau.trainers.data.synth.clips import ASTRONAUT
from merau.trainers.data.synth.faces import draw_faces
from merau.trainers.data.synth.image_pairs import draw_pairs

PAIRS, SEED = 300, 5
WIDTHS = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 3.5])  # cells
ON_FACE = np.hypot((flows.XS - 0.5) / 0.5, (flows.YS[:, None] - 0.5) / 0.62) < 1


def main() -> None:
    """Print the blur and the error of each method."""
    cv2.setNumThreads(1)
    onsets = draw_pairs([ASTRONAUT], PAIRS, SEED).onset
    rng = np.random.default_rng(SEED)
    motions = motion(rng, PAIRS)
    blur, error = {}, {}
    for method in flows.ERRORS:
        seen = [residual(i, onsets[i], motions[i], method) for i in tqdm(range(PAIRS), desc=method)]
        blur[method], error[method] = np.median(seen, axis=0)
    figures = {
        method: {
            "blur_cells": round(float(blur[method]), 2),
            "error_px": round(float(error[method]), 3),
            "blur": round(float(blur[method] / blur["dis"]), 2),
            "noise": round(float(error[method] / error["dis"]), 2),
        }
        for method in flows.ERRORS
    }
    print(json.dumps({"host": platform.platform(), "opencv": cv2.__version__, "pairs": PAIRS, **figures}, indent=2))


def motion(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Draw expressions and head motion (N, 2, rows, columns) px at the generator's cells."""
    peak = flows.log_uniform(rng, (0.5, 8), samples)
    label = rng.integers(0, len(flows.EXPRESSIONS), samples)
    intensity, _ = flows.draw_intensities(rng, label, np.full(samples, ""), peak)
    drawn = draw_faces(rng, samples, "mixed", flows.FACE_GRID, variety=flows.FlowSettings().variety)
    field = drawn.motion(np.arange(samples), intensity)
    field *= (peak / np.maximum(flows.length(field).max((1, 2)), 1e-6))[:, None, None, None]
    return field + flows.draw_head_motion(rng, flows.log_uniform(rng, (0.1, 3), samples))


def residual(seed: int, onset: np.ndarray, truth: np.ndarray, method: str) -> tuple[float, float]:
    """Return the blur in cells and the residual in px for one crop (H, W) uint8 that is warped by `truth`."""
    rng, (height, width) = np.random.default_rng(seed), onset.shape
    dense = [cv2.resize(axis.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC) for axis in truth]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    at = (columns - dense[0], rows - dense[1])
    apex = cv2.remap(onset.astype(np.float32), *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    grain = np.exp(rng.uniform(np.log(0.5), np.log(4)))
    pair = [np.clip(c + rng.normal(0, grain, c.shape), 0, 255).round().astype(np.uint8) for c in (onset, apex)]
    seen, detail = cells(flow(*pair, method=method)), cells(texture(onset)[None])
    best = (np.inf, 0.0)
    for sigma in WIDTHS:
        expected = blurred(truth, detail, sigma)
        left = float(np.sqrt(((seen - expected)[:, ON_FACE] ** 2).mean()))
        best = min(best, (left, float(sigma)))
    return best[1], best[0]


def cells(field: np.ndarray) -> np.ndarray:
    """Average a field (N, H, W) over the generator's cells."""
    return np.stack([cv2.resize(a, (flows.COLUMNS, flows.ROWS), interpolation=cv2.INTER_AREA) for a in field])


def blurred(truth: np.ndarray, detail: np.ndarray, sigma: float) -> np.ndarray:
    """Blur the true flow as `flow_fields.estimate` does, with the texture of this crop."""
    stacked = np.concatenate([truth * detail, detail])[None]
    near, wide = (flows.blur(stacked, np.array([width]))[0] for width in (sigma, 3 * sigma))
    return (near[:2] + 0.15 * wide[:2]) / (near[2:] + 0.15 * wide[2:] + 0.02)


if __name__ == "__main__":
    main()
