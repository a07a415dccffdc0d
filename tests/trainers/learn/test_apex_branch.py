"""Frames that the apex branch is trained on."""

import numpy as np
import torch

from merau.trainers.learn.apex_branch import Frames


def test_frames_pairs_are_two_frames_of_one_clip():
    clips = [
        np.full((t, 2, 2), 10 * i, np.uint8) + np.arange(t, dtype=np.uint8)[:, None, None] for i, t in ((1, 2), (2, 5))
    ]
    frames = Frames.of([*clips, clips[0][:1]])
    one, other = (255 * part[:, 0, 0, 0] for part in frames.pairs(torch.tensor([0, 1] * 50)))
    assert (one.round() != other.round()).all()
    assert ((one / 10).floor() == (other / 10).floor()).all()
