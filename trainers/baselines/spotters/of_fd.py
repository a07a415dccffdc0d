"""OF-FD: hand-crafted optical flow features of regions, the best published hand-made method on micro-expressions.

Yuhong He, Research on Micro-Expression Spotting Method Based on Optical Flow Features, ACM MM 2021: the mean flow of
small regions at brows, nose and mouth, less the head's motion as the nose shows it, added up over time, smoothed; a
rise and fall that is large enough is an expression, and its length tells the kind. The paper follows regions by
landmarks: crops are aligned, so that they stay in place here.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from merau.trainers.baselines.spotters.clip import RATE, Rules, Spotted, SteadyClip

# Centres of the regions in crop widths, across and down; half of a region's side is RADIUS.
REGIONS = {
    "brow left outer": (0.14, 0.08),
    "brow left": (0.24, 0.05),
    "brow left inner": (0.38, 0.08),
    "brow right inner": (0.62, 0.08),
    "brow right": (0.76, 0.05),
    "brow right outer": (0.86, 0.08),
    "nose left": (0.38, 0.55),
    "nose right": (0.62, 0.55),
    "mouth left": (0.28, 0.82),
    "mouth right": (0.72, 0.82),
    "lip upper": (0.5, 0.74),
    "lip lower": (0.5, 0.92),
}
NOSE = (0.5, 0.45)
RADIUS = 0.07
SMOOTH, DRIFT = 1.5, 30.0  # frames: faster is noise, slower is drift
LEAST_PX = 0.25  # of a rise
SPREADS = 3.0  # of a region's course, which a rise must exceed
MICRO_S, MACRO_S, SHORTEST_S = 0.5, 4.0, 0.1


@dataclass(frozen=True)
class Hill:
    """A rise and fall of one region: frames, and how high it is."""

    onset: int
    offset: int
    height: float


class OfFd(Rules):
    """It spots both kinds."""

    def __call__(self, clip: SteadyClip) -> list[Spotted]:
        """See `SpottingMethod`."""
        flow = clip.flow(1)
        head = region_mean(flow, NOSE)
        hills = [hill for place in REGIONS.values() for hill in hills_of(np.cumsum(region_mean(flow, place) - head, 0))]
        return merge(hills)


def region_mean(flow: np.ndarray, place: tuple[float, float]) -> np.ndarray:
    """Return the mean flow (T, 2) of the region around `place` of flow (T, 2, S, S)."""
    side = flow.shape[-1]
    columns, rows = (slice(max(0, round((at - RADIUS) * side)), max(round((at + RADIUS) * side), 1)) for at in place)
    return np.asarray(flow[:, :, rows, columns].mean((2, 3)))


def hills_of(course: np.ndarray) -> list[Hill]:
    """Return the rises and falls of one region's way (T, 2) px, in either direction of either axis."""
    smooth = gaussian_filter1d(course, SMOOTH, axis=0) - gaussian_filter1d(course, DRIFT, axis=0)
    spread = 1.4826 * np.median(np.abs(np.diff(smooth, axis=0))) * np.sqrt(RATE * MICRO_S)
    hills = list[Hill]()
    for axis in (*smooth.T, *-smooth.T):
        tops, found = find_peaks(axis, prominence=max(LEAST_PX, SPREADS * spread), width=1, rel_height=0.85)
        ends = zip(found["left_ips"], found["right_ips"], found["prominences"], strict=True)
        hills += [Hill(round(left), round(right), height) for left, right, height in ends]
        assert len(tops) == len(found["prominences"])
    return hills


def merge(hills: list[Hill]) -> list[Spotted]:
    """Return one interval for each group of hills that overlap by half, that of the highest; its length is its kind."""
    found = list[Spotted]()
    for hill in sorted(hills, key=lambda hill: -hill.height):
        duration_s = (hill.offset - hill.onset + 1) / RATE
        if SHORTEST_S <= duration_s <= MACRO_S and not any(overlap(hill, known) > 0.3 for known in found):
            found.append(Spotted("micro" if duration_s <= MICRO_S else "macro", hill.onset, hill.offset))
    return sorted(found, key=lambda spotted: spotted.onset)


def overlap(hill: Hill, known: Spotted) -> float:
    """Return the common frames as a share of the shorter one."""
    common = min(hill.offset, known.offset) - max(hill.onset, known.onset) + 1
    return common / (1 + min(hill.offset - hill.onset, known.offset - known.onset))
