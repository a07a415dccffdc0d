import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.trainers.data.synth.clips import ASTRONAUT, ClipPlan, make_clip, person_bumps
from merau.trainers.data.synth.timelines import expression, micro
from merau.trainers.evaluate.clips import frames_at, read_pairs, score_clips


def test_score_clips_at_true_onset_and_apex(tmp_path):
    rng, bumps = np.random.default_rng(0), person_bumps(3)
    smile = micro(rng, 1.0, expression(rng, (12,), 3.0, bumps=bumps), "positive", 3.0)
    clip = tmp_path / "smile.mp4"
    make_clip(ASTRONAUT, ClipPlan((smile,), duration_s=3.0, person=3), clip, seed=0)

    pairs = read_pairs(clip, rng)
    assert (pairs[0].kind, pairs[0].label) == ("micro", "positive")
    assert abs(pairs[0].apex_s - smile.apex_s) < 0.001
    onset, apex = frames_at(clip, [pairs[0].onset_s, pairs[0].apex_s])
    assert onset.shape == apex.shape
    assert not np.array_equal(onset, apex)

    scores = score_clips(Recognizer.load(), tmp_path)
    assert scores["micro 2 px"] == {"pairs": 1, "right": 1.0}
    assert scores["quiet"]["right"] > 0.8


def test_score_clips_without_ground_truth_is_refused(tmp_path):
    with pytest.raises(UserError, match="no clip with ground truth"):
        score_clips(Recognizer.load(), tmp_path)
