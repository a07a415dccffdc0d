"""Scores on synthetic data, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from merau.engine import bundle
from merau.engine.bundle import SHIPPED
from merau.engine.errors import UserError
from merau.trainers.data.synth.action_units import COMBINATIONS, SOURCE
from merau.trainers.evaluate.synthetic import certain_scores, combinations_of, domain_scores, peak_scores


def test_combinations_of_bundle_have_its_classes():
    default = bundle.load(SHIPPED / "default")
    assert combinations_of(default) is COMBINATIONS
    assert combinations_of(bundle.load(SHIPPED / "source")) is SOURCE
    with pytest.raises(UserError, match="No synthetic data can be drawn for the classes .* a, b: evaluate it on"):
        combinations_of(replace(default, card={**default.card, "classes": ["a", "b"]}))


def test_certain_scores_count_errors_of_certain_only():
    label, predicted = np.array([0, 1, 2, 2]), np.array([0, 0, 2, 1])
    certain = np.array([True, True, True, False])
    assert certain_scores(label, predicted, certain) == {"share": 0.75, "error": 0.333}
    assert certain_scores(label, predicted, certain & False) == {"share": 0, "error": 0}


def test_peak_scores_tell_missed_from_confused():
    label, predicted = np.array([0, 1, 1, 2]), np.array([0, 3, 0, 3])
    assert peak_scores(label, predicted, 3, np.array([True, True, True, False])) == {
        "acc": 0.333,
        "taken_for_none": 0.333,
    }
    assert peak_scores(label, predicted, 3, np.zeros(4, bool)) == {}


def test_domain_scores_of_too_few_samples_are_none():
    assert domain_scores(np.zeros((1, 80), np.float32), bundle.load(SHIPPED / "default")) == {}
