"""Propose where a movement began: only what it misses counts here, since a classifier rejects what is none.

A transient movement is noticed by the reversal of its rise, a sustained one by the rise alone, both in the flow from
one lag before, because that flow survives a moving head. Against the crop one lag earlier, a movement shows as a lobe
when it rises, and as the same lobe with the opposite sign when it falls. A drift of the head, or of the light, shows
the first and not the second.
"""

from bisect import bisect_left, bisect_right
from itertools import islice
from operator import attrgetter
from typing import Literal

import numpy as np

from merau.stream.spotter.baseline import NoiseFloor
from merau.stream.spotter.extractor import AnalysedFrame, FeatureExtractor
from merau.stream.spotter.settings import SpotterSettings

Part = Literal["eyes", "brows", "mouth", "face"]
REVERSING: tuple[Part, ...] = (
    "eyes",
    "brows",
    "mouth",
)  # parts with proposals of their own, so that none hides another
INITIAL_PULSE_P90 = 0.5  # reversal score that noise reaches in 10% of the time, until it is known
LEAST_LAG_S = 0.05  # from a rise to its reversal
TRACK_START_S = 0.25  # mesh and video coding still settle: these crops are no reference
MAX_BACKTRACK_S = 1.0  # longest search for the beginning of a movement
ONSET_MARGIN_S = 0.1  # from the reference to the first sign of motion
ONSET_SHARE = 0.15  # of a rise's energy along its own pattern: below it the rise has not begun


class ReversalDetector:
    """Notice rises that turn back, at each part of the face."""

    def __init__(self, settings: SpotterSettings):
        self._settings = settings
        self._level = NoiseFloor(np.full(len(REVERSING), INITIAL_PULSE_P90), quantile=0.9)

    def update(self, extractor: FeatureExtractor, masks: np.ndarray) -> list[tuple[Part, int]]:
        """Return the part and the frame of each rise that the newest frame reverses.

        Args:
            extractor: The frames so far.
            masks: (3, 14, 13) bool, the patches of each of `REVERSING`.
        """
        frames = extractor.frames
        now = frames[-1]
        first = bisect_right(frames, now.t_s - self._settings.micro_max_s, key=attrgetter("t_s"))
        last = bisect_left(frames, now.t_s - LEAST_LAG_S, key=attrgetter("t_s"))
        earlier = {first + i: frame.steady for i, frame in enumerate(islice(frames, first, last))}
        rises = {i: steady for i, steady in earlier.items() if steady is not None}
        if not rises or now.lagged is None:
            return []
        scores = reversal_score(np.stack(list(rises.values())), now.lagged, extractor.floor_px, masks)
        self._level.update(scores.max(axis=0), now.t_s - frames[-2].t_s)
        pulse, blink = self._settings.pulse_trigger, self._settings.blink_trigger
        exceeded = scores.max(axis=0) > self._level.level * (blink, pulse, pulse)
        indices = list(rises)
        return [(part, indices[scores[:, k].argmax()]) for k, part in enumerate(REVERSING) if exceeded[k]]


def reversal_score(earlier: np.ndarray, now: np.ndarray, floor: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Score how far the lagged flow `now` reverses each earlier one at each part of the face.

    All patches of a part count, each in the direction of its rise. So a faint movement exceeds noise before it has come
    back entirely, because noise reverses some patches and not others.

    Args:
        earlier: (N, 2, 14, 13) lagged flows, px.
        now: (2, 14, 13) lagged flow, px.
        floor: (14, 13) noise floor of each patch, px.
        parts: (parts, 14, 13) bool masks.

    Returns:
        (N, parts) geometric mean of rise and fall, in noise floors.
    """
    patches = np.maximum(parts.sum(axis=(1, 2)), 1)[:, None, None, None]
    against = parts[:, None] * -now / floor**2 / patches
    product = earlier.reshape(len(earlier), -1) @ against.reshape(len(parts), -1).T
    score: np.ndarray = np.sqrt(np.maximum(product, 0.0))
    return score


def find_references(frames: list[AnalysedFrame], rise: int, mask: np.ndarray, start_s: float) -> list[int]:
    """Return the frames just before a movement began that may be its reference, the earliest first.

    Args:
        frames: The frames so far.
        rise: Index of a frame in which the movement rises.
        mask: (14, 13) bool, the patches that count.
        start_s: Start of the track.
    """
    first = _onset_index(frames, rise, mask, start_s)
    near = [i for i in range(first + 1) if frames[first].t_s - frames[i].t_s <= ONSET_MARGIN_S]
    margin = sorted({*near, max(first - 1, 0)})  # the frame before always counts: frames may be missing
    return [i for i in margin if frames[i].t_s - start_s > TRACK_START_S] or [first]


def _onset_index(frames: list[AnalysedFrame], rise: int, mask: np.ndarray, start_s: float) -> int:
    """Index of the frame whose lagged flow first showed the pattern of frame `rise`."""
    steady = frames[rise].steady
    assert steady is not None
    pattern = steady * mask
    energy = float(np.vdot(pattern, pattern))
    i = rise
    while i > 0 and frames[rise].t_s - frames[i].t_s < MAX_BACKTRACK_S:
        before = frames[i - 1]
        if before.steady is None or before.t_s - start_s <= TRACK_START_S:
            break
        if float(np.vdot(pattern, before.steady)) < ONSET_SHARE * energy:
            break
        i -= 1
    return i
