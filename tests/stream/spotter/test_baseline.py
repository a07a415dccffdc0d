import numpy as np
import pytest

from merau.stream.spotter.baseline import NoiseFloor, ParallaxModel, RunningMedian


def noise(seconds: float, rate: float, seed: int = 0) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(0, 1, round(seconds * rate)))


@pytest.mark.parametrize("rate", [25, 100])
def test_noise_floor_is_the_quantile_at_any_frame_rate(rate):
    floor = NoiseFloor(np.array([0.2]), quantile=0.8, memory_s=8.0)
    levels = []
    for magnitude in noise(200, rate):
        floor.update(np.array([magnitude]), 1 / rate)
        levels.append(floor.level[0])
    assert np.median(levels[len(levels) // 2 :]) == pytest.approx(np.quantile(noise(200, rate), 0.8), rel=0.1)


def test_expression_hardly_moves_the_noise_floor():
    floor = NoiseFloor(np.array([0.1]))
    for magnitude in 0.08 * noise(20, 30):
        floor.update(np.array([magnitude]), 1 / 30)
    before = floor.level[0]
    for _ in range(9):  # 0.3 s
        floor.update(np.array([5.0]), 1 / 30)
    assert floor.level[0] < 1.1 * before


@pytest.mark.parametrize("rate", [25, 100])
def test_running_median_ignores_blinks(rate):
    neutral = RunningMedian()
    for i in range(60 * rate):
        closed = (i / rate) % 4 < 0.2
        neutral.update(0.1 if closed else 0.3 + 0.005 * np.sin(i), 1 / rate)
    assert neutral.value == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("rate", [25, 100])
def test_depth_is_learned_from_head_turns(rate):
    truth = np.random.default_rng(1).normal(0, 0.3, (14, 13))
    depth, floor = ParallaxModel(truth.shape), np.full(truth.shape, 0.1)
    for i in range(20 * rate):
        turn = np.array([1.5, 0.2]) * np.sin(2 * np.pi * 0.3 * i / rate)
        depth.update(turn[:, None, None] * truth, turn, floor, 1 / rate)
    turn = np.array([0.0, 1.0])
    left = depth.remove(turn[:, None, None] * truth, turn)
    assert np.hypot(*left).mean() < 0.25 * np.abs(truth).mean()


def test_expression_is_not_learned_as_depth():
    depth, floor = ParallaxModel((14, 13)), np.full((14, 13), 0.1)
    smile = np.zeros((2, 14, 13))
    smile[1, 9, 3] = -2.0
    for i in range(100):
        turn = np.array([0.2 * np.sin(i), 0.0])
        depth.update(smile, turn, floor, 1 / 30)
    assert depth.remove(smile, np.array([0.0, 0.5]))[1, 9, 3] == pytest.approx(-2.0, abs=0.05)
