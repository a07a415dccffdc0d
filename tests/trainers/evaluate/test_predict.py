"""Predictions of a bundle for a flow set."""

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.trainers.evaluate.predict import apex_images, coarse_membership, predict, to_coarse


def test_predict_single_sample_is_finite(task):
    one = task.data.take(np.arange(1))
    assert np.isfinite(predict(Recognizer.load(device="cpu"), one, task.flow[:1]).embedding).all()


def test_to_coarse_sums_classes_and_leaves_out_others():
    names = ("happiness", "disgust", "surprise", "repression", "others")
    three = to_coarse(np.array([[0.1, 0.1, 0.2, 0.1, 0.5], [0, 0, 0, 0, 1.0]]), names)
    assert three == pytest.approx(np.array([[0.4, 0.2, 0.4], [1 / 3] * 3]))


def test_coarse_membership_missing_class_is_refused():
    with pytest.raises(UserError, match="The bundle predicts tense, surprise, not negative, positive and surprise"):
        coarse_membership(("tense", "surprise"))


def test_apex_images_of_set_without_crops_are_none(task):
    assert apex_images(task.data, 64) is None
