"""Whether the pictures of a flow set hold their channels in the order strain, v, u: the strain of u and v tells.

A file with another order gives answers as smooth and sure as any. Nothing is corrected: what is found is said.
"""

from itertools import permutations

import numpy as np

from merau.trainers.data.flow_set import FlowSet, fits

STATED = ("strain", "v", "u")
ORDERS = tuple(permutations(range(3)))  # which channels are tried as strain, v, u; the first is the stated order
LOG_RATIOS = np.linspace(-3, 3, 13)
MOST = 100  # samples of a database that are looked at
FEW = 5  # of fewer nothing is said
# How much better another order must explain the strain, in Fisher's z of the correlation, median over the samples, and
# by 1 / n more for n of them. Drawn flow in the right order never came above .14 with five samples and .05 with ten,
# strain defined in eight ways; with u and v exchanged a hundred samples gave .21 and more, in RGB order 1.4 and more.
CLEAR = 0.1
LEAST_FIT = 0.7  # median correlation: eight definitions of strain gave .91 and more, the motion's length .6 or less


def warnings(data: FlowSet) -> list[str]:
    """A sentence for each database whose pictures seem to hold other channels, or the same in another order."""
    return [
        sentence
        for name in np.unique(data.dataset).tolist()
        if (sentence := warning(name, data.picture[data.dataset == name]))
    ]


def warning(name: str, pictures: np.ndarray) -> str:
    """What is wrong with `pictures` (n, 28, 28, 3) uint8 of the database `name`; empty where nothing is."""
    if len(pictures) < FEW:
        return ""
    some = pictures[np.unique(np.linspace(0, len(pictures) - 1, min(MOST, len(pictures))).astype(int))]
    z = np.arctanh(np.clip([[explained(picture, order) for order in ORDERS] for picture in some], 0, 0.9999))
    best = int(np.median(z, 0).argmax())
    if np.tanh(np.median(z[:, best])) < LEAST_FIT:
        return (
            f"{name}: the first channel of its pictures is not the strain of the other two, in whatever order, so that "
            "how u compares with v is taken as usual: write strain, v, u in OpenCV's order."
        )
    if np.median(z[:, best] - z[:, 0]) < CLEAR + 1 / len(some):
        return ""
    held = ", ".join(dict(zip(ORDERS[best], STATED, strict=True))[channel] for channel in range(3))
    return (
        f"{name}: its pictures seem to hold {held} in OpenCV's order, not {', '.join(STATED)}, and what is said of it "
        "is then wrong: write them again in that order."
    )


def explained(picture: np.ndarray, order: tuple[int, ...]) -> float:
    """The best correlation of the strain with that of v and u, if these are the channels `order` of `picture`."""
    strain, v, u = (picture[..., channel].astype(np.float64) for channel in order)
    return float(fits(strain, v, u, LOG_RATIOS).max())
