"""Strips of frames."""

import cv2
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.baselines.frames import normalized_apexes, read_strip
from merau.trainers.baselines.vgg import make_model
from merau.trainers.data import flow_set
from merau.trainers.evaluate.task import make_task


def test_baseline_without_frames_is_refused(frames_task):
    bare = flow_set.FlowSet(**{**vars(frames_task.data), "frames": np.full(len(frames_task), "")})
    with pytest.raises(Exception, match="vgg needs frames"):
        make_model(make_task(bare))


def test_read_strip_of_other_shape_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "odd.png"), np.zeros((100, 64), np.uint8))
    for path in (tmp_path / "odd.png", tmp_path / "none.png"):
        with pytest.raises(UserError, match="is not a strip of square frames"):
            read_strip(str(path))


def test_normalized_apexes_have_mean_0_and_spread_1(frames_task):
    images = normalized_apexes(frames_task.data, "vgg", size_px=32)
    assert images.shape == (len(frames_task), 1, 32, 32)
    assert np.allclose(images.mean((1, 2, 3)), 0, atol=1e-4)
    assert np.allclose(images.std((1, 2, 3)), 1, atol=1e-4)
