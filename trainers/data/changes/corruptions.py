"""The corruptions of LightmanNet's robustness test (Wang et al. 2024, section 5.3).

The paper masks a random part, adds Gaussian noise to a region, or makes pictures grey, in 10, 30 or 50 % of the
samples, and gives no sizes: here the part is a third of the crop's side, and the noise has a spread of 25 grey levels.
Frames of a flow set are grey already, so that the third corruption changes nothing.
"""

import numpy as np

from merau.trainers.data.changes.changed_set import Change, Square

SIDE = 1 / 3  # of the part, in sides of the crop's inner square
NOISE = 25.0  # grey levels
SHARES = (0.1, 0.3, 0.5)  # of the samples


def draw_part(square: Square, rng: np.random.Generator) -> Square:
    """Draw a part of `square`, as rows and columns."""
    top, left = rng.uniform(0, 1 - SIDE, 2)
    return tuple(  # type: ignore[return-value]
        slice(*(axis.start + round((axis.stop - axis.start) * end) for end in (start, start + SIDE)))
        for axis, start in zip(square, (top, left), strict=True)
    )


def mask(frames: np.ndarray, square: Square, rng: np.random.Generator) -> np.ndarray:
    """Make a random part black in all frames (P1)."""
    masked = frames.copy()
    masked[:, *draw_part(square, rng)] = 0
    return masked


def add_noise(frames: np.ndarray, square: Square, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise, anew in each frame, to a random part (P2)."""
    part, noisy = draw_part(square, rng), frames.astype(float)
    noisy[:, *part] += rng.normal(0, NOISE, noisy[:, *part].shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def make_grey(frames: np.ndarray, square: Square, rng: np.random.Generator) -> np.ndarray:
    """Return the frames: they are grey (P3)."""
    return frames


CORRUPTIONS: dict[str, Change] = {"mask": mask, "noise": add_noise, "grey": make_grey}
