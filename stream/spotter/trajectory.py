"""Follow one movement from its trigger to its end, always measured against the crop before it began."""

from dataclasses import dataclass

import numpy as np

from merau.stream.align import Crop
from merau.stream.spotter.features import FrameFeatures, PatchMotion

HALF_LEVEL, LOW_LEVEL = 0.5, 0.2  # levels of the profile, relative to its apex, that place its onset and offset
RETURNED_LEVEL, ENDED_LEVEL = 0.3, 0.25  # levels at which a transient and a sustained movement are over
APEX_FIT_S = 0.25


@dataclass(frozen=True)
class Point:
    """The state of the face at one time, against the reference; a quarter the size of the frame's features.

    Attributes:
        crop: The crop.
        aperture: Opening of the eyes over their width.
        mouth_px: Gap between the lips, crop px.
        motion: Facial motion since the reference.
        head_shift_px: Motion of the head across the frame since the reference, crop px.
    """

    crop: Crop
    aperture: float
    mouth_px: float
    motion: PatchMotion
    head_shift_px: float

    @property
    def t_s(self) -> float:
        """Time of the crop."""
        return self.crop.t_s


class Trajectory:
    """The points of one movement, in order of time; the first is the reference itself.

    Args:
        reference: The frame before the movement.
        mask: (14, 13) bool, the patches that count.
        floor: (14, 13) noise floor of each patch, crop px.

    Attributes:
        apex_index: Index of the apex among the points.
        snr: Strength at the apex, in noise floors.
    """

    STRONGEST = 4  # the strength is the mean of this many patches, the strongest ones

    def __init__(self, reference: FrameFeatures, mask: np.ndarray, floor: np.ndarray):
        still = PatchMotion(np.zeros((2, *mask.shape), np.float32), np.zeros(2))
        self.points = [Point(reference.crop, reference.aperture, reference.mouth_px, still, 0.0)]
        self.reference, self.mask, self.floor = reference, mask, floor
        self.apex_index = 0
        self.snr = 0.0
        self._profile = [0.0]

    @property
    def apex(self) -> Point:
        """The point that is furthest from the reference."""
        return self.points[self.apex_index]

    def nearest(self, t_s: float) -> Point:
        """Return the point nearest to `t_s`."""
        return min(self.points, key=lambda point: abs(point.t_s - t_s))

    def add(self, point: Point) -> None:
        """Append a later point; it becomes the apex if the face has never been further from the reference."""
        self.points.append(point)
        self._update_apex(len(self.points) - 1)

    def restrict(self, mask: np.ndarray) -> None:
        """Use only the patches in `mask`, also for the points so far."""
        self.mask, self.apex_index, self.snr, self._profile = mask, 0, 0.0, [0.0]
        for i in range(1, len(self.points)):
            self._update_apex(i)

    def _update_apex(self, index: int) -> None:
        magnitude = np.hypot(*self.points[index].motion.patches) * self.mask
        strongest = np.partition((magnitude / self.floor).ravel(), -self.STRONGEST)[-self.STRONGEST :]
        if strongest.mean() > self.snr:
            self.apex_index, self.snr, self._profile = index, float(strongest.mean()), []

    @property
    def strength_px(self) -> float:
        """Mean motion of the strongest patches at the apex, crop px."""
        moving = np.hypot(*self.apex.motion.patches) * self.mask
        strongest = np.argpartition((moving / self.floor).ravel(), -self.STRONGEST)[-self.STRONGEST :]
        return float(moving.ravel()[strongest].mean())

    def profile(self) -> np.ndarray:
        """Level of each point along the apex's own pattern, (N,): 0 at the reference, 1 at the apex.

        Projecting on the pattern is a matched filter: it averages the noise over all skin that takes part.
        """
        pattern = self.apex.motion.patches * self.mask
        weighted = pattern * np.sum((pattern / self.floor) ** 2, axis=0)
        full = max(float(np.vdot(weighted, pattern)), 1e-9)
        new = self.points[len(self._profile) :]  # the pattern changes only when the apex moves
        self._profile += [float(np.vdot(weighted, point.motion.patches)) / full for point in new]
        return np.array(self._profile)

    def end_level(self) -> float:
        """Lowest level after the apex, at most one half; a drift of the head keeps it above 0."""
        return float(np.clip(self.profile()[self.apex_index :].min(), 0, 0.5))

    def has_returned(self) -> bool:
        """Whether the last points lie near 0, or have stopped falling below one half."""
        profile = self.profile()[self.apex_index :]
        stopped = profile.min() < HALF_LEVEL and profile[-1] > profile.min() + 0.03
        return bool(profile[-2:].mean() < RETURNED_LEVEL or stopped)

    def bounds(self) -> tuple[float, float, float]:
        """Onset, apex and offset in seconds, between the frames if the profile allows it."""
        times, profile, apex = np.array([point.t_s for point in self.points]), self.profile(), self.apex_index
        onset_s = _extrapolate_foot(times[apex::-1], profile[apex::-1], 0.0)
        offset_s = _extrapolate_foot(times[apex:], profile[apex:], self.end_level())
        return onset_s, _fit_apex(times, profile, apex), offset_s


def _extrapolate_foot(times: np.ndarray, profile: np.ndarray, end_level: float) -> float:
    """When a profile that falls from its apex reaches `end_level`, by the line through two crossings."""
    half_s, low_s = (
        _crossing(times, profile, end_level + (1 - end_level) * level) for level in (HALF_LEVEL, LOW_LEVEL)
    )
    foot_s = low_s + (low_s - half_s) * LOW_LEVEL / (HALF_LEVEL - LOW_LEVEL)
    return float(np.clip(foot_s, min(times[0], times[-1]), max(times[0], times[-1])))


def _crossing(times: np.ndarray, profile: np.ndarray, threshold: float) -> float:
    """The first time at which the profile falls below `threshold`, interpolated; the last time if it never does."""
    below = np.flatnonzero(profile < threshold)
    if not len(below) or below[0] == 0:
        return float(times[-1])
    i = below[0]
    return float(
        times[i - 1] + (times[i] - times[i - 1]) * (profile[i - 1] - threshold) / (profile[i - 1] - profile[i])
    )


def _fit_apex(times: np.ndarray, profile: np.ndarray, apex: int) -> float:
    """Time of the maximum of a least-squares cubic around the apex.

    The cubic is fitted to the points above one half within APEX_FIT_S, and one more on either side. On a flat top the
    highest point is where noise put it; the flanks know better. Faces fall more slowly than they rise, which would draw
    the maximum of a parabola after the apex.
    """
    first = last = apex
    while first > 0 and profile[first - 1] > HALF_LEVEL and times[apex] - times[first - 1] < APEX_FIT_S:
        first -= 1
    while last < len(times) - 1 and profile[last + 1] > HALF_LEVEL and times[last + 1] - times[apex] < APEX_FIT_S:
        last += 1
    near = slice(max(first - 1, 0), last + 2)
    t, y = times[near], profile[near]
    if len(t) < 3:
        return float(times[apex])
    middle_s, half_s = (t[0] + t[-1]) / 2, (t[-1] - t[0]) / 2
    powers = np.vander((t - middle_s) / half_s, 4 if len(t) > 4 else 3)
    *cubic, bend, slope, _ = np.linalg.solve(powers.T @ powers, powers.T @ y)
    root = bend**2 - 3 * sum(cubic) * slope
    steep = np.sqrt(max(root, 0)) - bend
    maximum = slope / steep if root >= 0 and steep > 0 else np.inf
    is_on_hill = abs(maximum) < 1  # else a plateau: the cubic has no maximum here
    return float(middle_s + half_s * maximum if is_on_hill else times[apex])
