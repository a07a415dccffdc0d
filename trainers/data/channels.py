"""A check that images hold their channels in the order strain, v, u.

Images with another order give predictions that look as confident as any. The strain, which predictions do not use,
shows the order; nothing is corrected, but a warning says what was found.
"""

from itertools import permutations

import numpy as np

from merau.trainers.data.flow_set import FlowSet

STATED = ("strain", "v", "u")
ORDERS = tuple(permutations(range(3)))  # channels tried as strain, v, u; the first is the stated order
LOG_RATIOS = np.linspace(-3, 3, 13)
MAX_SAMPLES = 100  # samples of a database that are examined
MIN_SAMPLES = 5  # fewer give no warning
# How much better another order must explain the strain: median of Fisher's z of the correlation, plus 1 / n for n
# samples. Drawn flow in the right order never exceeded .14 with five samples and .05 with ten, for eight definitions of
# strain; with u and v exchanged a hundred samples gave .21 and more, in RGB order 1.4 and more.
MARGIN = 0.1
MIN_FIT = 0.7  # median correlation: eight definitions of strain gave .91 and more, the motion's length .6 or less


def warnings(data: FlowSet) -> list[str]:
    """Return a sentence for each database whose channels seem to be wrong.

    They may be other channels, or in another order.
    """
    return [
        sentence
        for name in np.unique(data.dataset).tolist()
        if (sentence := warning(name, data.image[data.dataset == name]))
    ]


def warning(name: str, images: np.ndarray) -> str:
    """Return what is wrong with `images` (n, 28, 28, 3) uint8 of the database `name`.

    Empty where nothing is.
    """
    if len(images) < MIN_SAMPLES:
        return ""
    some = images[np.unique(np.linspace(0, len(images) - 1, min(MAX_SAMPLES, len(images))).astype(int))]
    z = np.arctanh(np.clip([[best_correlation(image, order) for order in ORDERS] for image in some], 0, 0.9999))
    best = int(np.median(z, 0).argmax())
    if np.tanh(np.median(z[:, best])) < MIN_FIT:
        return (
            f"{name}: the first channel of its images is not the strain of the other two in any order, so that the "
            "order of u and v cannot be checked: write strain, v, u in OpenCV's order."
        )
    if np.median(z[:, best] - z[:, 0]) < MARGIN + 1 / len(some):
        return ""
    held = ", ".join(dict(zip(ORDERS[best], STATED, strict=True))[channel] for channel in range(3))
    return (
        f"{name}: its images seem to hold {held} in OpenCV's order, not {', '.join(STATED)}; predictions for it are "
        "then wrong: write them again in that order."
    )


def best_correlation(image: np.ndarray, order: tuple[int, ...]) -> float:
    """Return the best correlation of the strain with that of v and u.

    `order` says which channels of `image` are taken as strain, v and u.
    """
    strain, v, u = (image[..., channel].astype(np.float64) for channel in order)
    return float(strain_correlations(strain, v, u, LOG_RATIOS).max())


def strain_correlations(strain: np.ndarray, v: np.ndarray, u: np.ndarray, log_ratios: np.ndarray) -> np.ndarray:
    """Correlate `strain` with the strain of (exp(g) u, v).

    Each channel (28, 28) has its own unit and zero, so that the ratio exp(g) of u to v is not known.

    The result is (R,), one correlation for each g of `log_ratios` (R,).
    """
    u_y, u_x = np.gradient(u.astype(np.float64))
    v_y, v_x = np.gradient(v.astype(np.float64))
    ratio = np.exp(log_ratios)[:, None, None]
    squared = (ratio * u_x) ** 2 + v_y**2 + 0.5 * (ratio * u_y + v_x) ** 2
    explained = np.sqrt(squared).reshape(len(log_ratios), -1)
    explained -= explained.mean(1, keepdims=True)
    wanted = strain.ravel() - strain.mean(dtype=np.float64)
    lengths = np.linalg.norm(explained, axis=1) * np.linalg.norm(wanted)
    return np.asarray(explained @ wanted / np.maximum(lengths, 1e-9))
