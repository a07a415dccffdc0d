"""Changed sets: magnification and corruption reach frames, crops and flow, and models run on them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.baselines.frames import read_strip
from merau.trainers.data import flow_set
from merau.trainers.data.changes.changed_set import change_set
from merau.trainers.data.changes.corruptions import mask
from merau.trainers.data.changes.eulerian import Eulerian
from merau.trainers.data.changes.lagrangian import Lagrangian, displacements


@pytest.fixture(scope="module")
def few(prepared_index):
    return flow_set.read(prepared_index).take(np.arange(0, 24, 6))


def blur(frame: np.ndarray) -> np.ndarray:
    """Texture as coarse as that of a face."""
    return cv2.GaussianBlur(frame, (9, 9), 0)


def moved_px(frames: np.ndarray) -> float:
    """How far the fastest thousandth of the pixels moved from the first frame to the last."""
    return float(np.quantile(np.hypot(*displacements(frames[[0, -1]])[0]), 0.999))


@pytest.mark.parametrize("change", [Eulerian(2.0), Lagrangian(2.0)])
def test_magnification_enlarges_motion(few, change):
    frames, square = np.stack(list(map(blur, read_strip(few.frames[0])[:3]))), (slice(0, 96), slice(0, 96))
    magnified = change(frames, square, np.random.default_rng(0))
    assert magnified.shape == frames.shape
    assert np.abs(magnified[0].astype(int) - frames[0]).max() <= 1
    assert 1.3 * moved_px(frames) < moved_px(magnified) < 2.5 * moved_px(frames)


@pytest.mark.parametrize("change", [Eulerian(1.0), Lagrangian(1.0)])
def test_factor_of_one_changes_nothing(few, change):
    frames = read_strip(few.frames[0])
    same = change(frames, (slice(0, 96), slice(0, 96)), np.random.default_rng(0))
    assert np.abs(same.astype(int) - frames).max() <= 1


def test_changed_rows_alone_differ(few, tmp_path):
    changed = change_set(few, tmp_path, mask, [1])
    for i in range(len(few)):
        assert (read_strip(changed.frames[i]) != read_strip(few.frames[i])).any() == (i == 1)
        crops = np.stack(flow_set.read_crops(changed.crops[i]))
        assert (crops == 0).all(0).mean() > 0.05 or i != 1
    assert changed.image.std() > 0  # the set had no flow: it is measured


def test_set_without_crops_is_refused(few, tmp_path):
    with pytest.raises(UserError, match="none in its column crops_png"):
        change_set(replace(few, crops=np.full(len(few), "")), tmp_path, mask)
