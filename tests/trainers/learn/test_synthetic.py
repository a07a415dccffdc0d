"""What a recognizer from synthetic data is trained on."""

from pathlib import Path

import numpy as np

from merau.trainers.data.synth.action_units import CODED, SOURCE
from merau.trainers.data.synth.flow_fields import Flows, FlowSettings, draw
from merau.trainers.learn.fusion import FlowTraining
from merau.trainers.learn.synthetic import SyntheticTraining, training_flows

FEW = FlowTraining(samples=80, seed=7)


def test_synthetic_training_has_classes_and_pairs():
    training = SyntheticTraining(FEW, combinations=SOURCE)
    assert (training.seed, training.classes[-1], len(training.classes)) == (7, "no expression", 6)
    assert (training.live_samples, training.animated_pairs) == (12, 1)
    assert SyntheticTraining(FEW, few_shot=Path("index.csv")).animated_pairs == 0  # beside a user's own samples


def test_set_settings_have_the_classes_and_differ_between_members():
    training = SyntheticTraining(FEW, combinations=SOURCE, geometry="table")
    assert {(kind.combinations is SOURCE, kind.geometry) for i in range(4) for kind in training.set_settings(i)} == {
        (True, "table")
    }
    assert SyntheticTraining(FEW).set_settings(0)[0].combinations is CODED
    assert len({kind.fine for i in range(4) for kind in training.set_settings(i)}) > 2


def test_training_flows_repeat_own_samples_among_drawn():
    training = SyntheticTraining(FEW, few_shot=Path("index.csv"))
    own = Flows(*(column[:1] for column in vars(draw(7, 10, FlowSettings())).values()))
    members, nothing = training_flows(training, own)
    first, second = members(0), members(1)
    assert len(first.label) == 80 + 12 + 9  # as flow sets show it, as cameras do, and the own one ten times
    assert np.array_equal(first.flow[-1], own.flow[0])
    assert not np.array_equal(first.flow[:80], second.flow[:80])
    assert np.array_equal(first.flow[80:], second.flow[80:])
    assert first.known[80:92].all() and not first.known[:80].any()
    assert np.array_equal(nothing.flow[:12], first.flow[80:92]) and len(nothing.label) == 36
