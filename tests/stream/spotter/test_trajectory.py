import numpy as np
import pytest

from merau.stream.spotter.features import PatchMotion, extract
from merau.stream.spotter.trajectory import Point, Trajectory

MASK = np.zeros((14, 13), bool)
MASK[8:10, 3:5] = True
RATE = 50


@pytest.fixture
def follow(make_crops):
    """A trajectory whose patches move down by `px(t_s)`, at RATE frames a second."""

    def make(px, seconds: float, drift: float = 0.0) -> Trajectory:
        times_s = np.arange(0, seconds, 1 / RATE)
        frames = [extract(crop) for crop in make_crops([], times_s)]
        trajectory = Trajectory(frames[0], MASK, np.full(MASK.shape, 0.1))
        for now, t_s in zip(frames[1:], times_s[1:], strict=True):
            patches = np.zeros((2, *MASK.shape), np.float32)
            patches[1, MASK] = px(t_s) + drift * t_s
            trajectory.add(Point(now.crop, now.aperture, now.mouth_px, PatchMotion(patches, np.zeros(2)), 0.0))
        return trajectory

    return make


def hill(t_s: float) -> float:
    """Rises from 0.1 s to its apex at 0.3 s, back at 0.6 s."""
    return float(np.interp(t_s, [0.1, 0.3, 0.6], [0.0, 1.0, 0.0]))


def test_bounds_of_a_hill(follow):
    trajectory = follow(hill, 0.8)
    assert trajectory.bounds() == pytest.approx((0.1, 0.3, 0.6), abs=0.02)
    assert trajectory.profile().max() == 1.0
    assert trajectory.has_returned()


def test_drift_hardly_changes_the_bounds(follow):
    trajectory = follow(hill, 0.8, drift=0.2)
    assert trajectory.bounds() == pytest.approx((0.1, 0.3, 0.6), abs=0.04)


def test_movement_that_stays_has_not_returned(follow):
    trajectory = follow(lambda t_s: min(5 * t_s, 1.0), 0.8)
    assert not trajectory.has_returned()
    assert trajectory.profile()[-1] == pytest.approx(1.0, abs=0.01)


def test_restrict_forgets_motion_outside_the_mask(follow):
    trajectory = follow(hill, 0.5)
    trajectory.restrict(MASK & (np.arange(13) > 20))
    assert trajectory.snr == 0.0


def test_noise_on_a_flat_top_does_not_move_the_apex(follow):
    def flat(t_s: float) -> float:
        top = min(1.0, max(0.0, 4 * (1 - abs(t_s - 0.3) / 0.2)))  # 0.4 s long, its middle at 0.3 s
        return top + (0.03 if abs(t_s - 0.2) < 0.5 / RATE else 0.0)

    assert follow(flat, 0.8).bounds()[1] == pytest.approx(0.3, abs=0.04)
