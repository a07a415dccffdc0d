"""One movement followed from its trigger to its end, always measured against the crop before it began."""

from copy import copy
from dataclasses import dataclass

import numpy as np

from merau.stream.align import Crop
from merau.stream.spotter.features import FrameFeatures, PatchMotion

HALF, LOW = 0.5, 0.2  # levels of the trajectory, relative to its peak, that place its onset and offset
RETURNED, ENDED = 0.3, 0.25  # levels at which a short and a lasting movement are over
RISEN = 0.7  # the level from which on a rise is nearly over
SUMMIT_S = 0.25


@dataclass(frozen=True)
class Point:
    """Where the face stood at one moment, against the reference. The moment itself is nearly four times as large."""

    crop: Crop
    aperture: float
    mouth_px: float
    motion: PatchMotion
    head_px: float

    @property
    def t_s(self) -> float:
        return self.crop.t_s


class Trajectory:
    """The points of one movement, in order of time; the first is the reference itself.

    `mask` (14, 13) bool says which patches count, `floor` (14, 13) pixels how noisy each of them is.
    """

    STRONGEST = 4  # patches that decide how far the face has moved

    def __init__(self, reference: FrameFeatures, mask: np.ndarray, floor: np.ndarray, id: int):
        still = PatchMotion(np.zeros((2, *mask.shape), np.float32), np.zeros(2))
        self.points = [Point(reference.crop, reference.aperture, reference.mouth_px, still, 0.0)]
        self.reference, self.mask, self.floor, self.id = reference, mask, floor, id
        self.peak = 0  # index of the apex among the points
        self.snr = 0.0  # strength at the apex, in noise floors
        self._level = [0.0]

    @property
    def apex(self) -> Point:
        return self.points[self.peak]

    def at(self, t_s: float) -> Point:
        """The point nearest to `t_s`."""
        return min(self.points, key=lambda point: abs(point.t_s - t_s))

    def add(self, point: Point) -> None:
        """Appends a later point and moves the apex there if the face has never been further from the reference."""
        self.points.append(point)
        self._rise(len(self.points) - 1)

    def branch(self, id: int) -> "Trajectory":
        """The same movement so far, to be followed apart under the id that it had; this one goes on under `id`."""
        other = copy(self)
        other.points, other._level, self.id = list(self.points), list(self._level), id
        return other

    def _rise(self, index: int) -> None:
        strongest = np.partition((self.field(index) / self.floor).ravel(), -self.STRONGEST)[-self.STRONGEST :]
        if strongest.mean() > self.snr:
            self.peak, self.snr, self._level = index, float(strongest.mean()), []

    def narrow(self, mask: np.ndarray) -> None:
        """Looks at `mask` only from now on, as if it always had."""
        self.mask, self.peak, self.snr, self._level = mask, 0, 0.0, [0.0]
        for i in range(1, len(self.points)):
            self._rise(i)

    def field(self, index: int) -> np.ndarray:
        """Magnitude (14, 13) of the motion at a point, pixels, zero off the mask."""
        return np.hypot(*self.points[index].motion.patches) * self.mask

    def level(self) -> np.ndarray:
        """How far along the apex's own pattern each point lies, (N,): 0 at the reference, 1 at the apex.

        Projecting on the pattern is a matched filter: it averages the noise over all skin that takes part.
        """
        pattern = self.apex.motion.patches * self.mask
        weighted = pattern * np.sum((pattern / self.floor) ** 2, axis=0)
        full = max(float(np.vdot(weighted, pattern)), 1e-9)
        new = self.points[len(self._level) :]  # the pattern changes only when the apex moves
        self._level += [float(np.vdot(weighted, point.motion.patches)) / full for point in new]
        return np.array(self._level)

    def rest(self) -> float:
        """The level that the trajectory has come back to, at most one half: a drift of the head keeps it above 0."""
        return float(np.clip(self.level()[self.peak :].min(), 0, 0.5))

    def rose(self, t_s: float) -> bool:
        """Whether it was rising then, and well below its apex."""
        onset_s, apex_s, _ = self.bounds()
        level = np.interp(t_s, [point.t_s for point in self.points], self.level())
        return onset_s < t_s < apex_s and bool(level < RISEN)

    def has_returned(self) -> bool:
        """Whether the last points lie near 0, or have stopped falling below one half."""
        level = self.level()[self.peak :]
        return level[-2:].mean() < RETURNED or (level.min() < HALF and level[-1] > level.min() + 0.03)

    def bounds(self) -> tuple[float, float, float]:
        """Onset, apex and offset in seconds, between the frames where the level allows it."""
        times, level = np.array([p.t_s for p in self.points]), self.level()
        onset_s = _foot(times[self.peak :: -1], level[self.peak :: -1], 0.0)
        offset_s = _foot(times[self.peak :], level[self.peak :], self.rest())
        return onset_s, _summit(times, level, self.peak), offset_s


def _foot(times: np.ndarray, level: np.ndarray, rest: float) -> float:
    """Where a trajectory that falls from its apex to `rest` gets there: the line through two crossings, prolonged."""
    half_s, low_s = (_crossing(times, level, rest + (1 - rest) * part) for part in (HALF, LOW))
    foot_s = low_s + (low_s - half_s) * LOW / (HALF - LOW)
    return float(np.clip(foot_s, min(times[0], times[-1]), max(times[0], times[-1])))


def _crossing(times: np.ndarray, level: np.ndarray, threshold: float) -> float:
    """The first time at which `level` falls below `threshold`, interpolated; the last time if it never does."""
    below = np.flatnonzero(level < threshold)
    if not len(below) or below[0] == 0:
        return float(times[-1])
    i = below[0]
    return float(times[i - 1] + (times[i] - times[i - 1]) * (level[i - 1] - threshold) / (level[i - 1] - level[i]))


def _summit(times: np.ndarray, level: np.ndarray, peak: int) -> float:
    """The summit of the least-squares cubic through what lies above one half, up to SUMMIT_S from the peak, and one
    point more on either side.

    On a flat top the highest point is where the noise put it; the flanks know better. Faces fall more slowly than they
    rise: a parabola would be drawn after the apex.
    """
    first = last = peak
    while first > 0 and level[first - 1] > HALF and times[peak] - times[first - 1] < SUMMIT_S:
        first -= 1
    while last < len(times) - 1 and level[last + 1] > HALF and times[last + 1] - times[peak] < SUMMIT_S:
        last += 1
    near = slice(max(first - 1, 0), last + 2)
    t, y = times[near], level[near]
    if len(t) < 3:
        return float(times[peak])
    middle_s, half_s = (t[0] + t[-1]) / 2, (t[-1] - t[0]) / 2
    powers = np.vander((t - middle_s) / half_s, 4 if len(t) > 4 else 3)
    *cubic, bend, slope, _ = np.linalg.solve(powers.T @ powers, powers.T @ y)
    root = bend**2 - 3 * sum(cubic) * slope
    steep = np.sqrt(max(root, 0)) - bend
    summit = slope / steep if root >= 0 and steep > 0 else np.inf
    return float(middle_s + half_s * summit if abs(summit) < 1 else times[peak])  # no hill in sight: a plateau
