"""What a recognizer from synthetic data is trained on."""

from pathlib import Path

import numpy as np

from merau.trainers.data.synth.action_units import SOURCE
from merau.trainers.data.synth.flow_fields import Flows, FlowSettings, draw
from merau.trainers.learn.fusion import FlowTraining
from merau.trainers.learn.synthetic import SyntheticTraining, training_flows

FEW = FlowTraining(samples=100, seed=7)


def test_synthetic_training_has_classes_and_pairs():
    training = SyntheticTraining(FEW, combinations=SOURCE)
    assert (training.seed, training.classes[-1], len(training.classes)) == (7, "no expression", 6)
    assert training.animated_pairs == 6
    assert SyntheticTraining(FEW, few_shot=Path("index.csv")).animated_pairs == 0  # beside a user's own samples


def test_training_flows_repeat_own_samples_among_drawn():
    training = SyntheticTraining(FlowTraining(samples=10, seed=7))
    live = draw(7, 10, FlowSettings(as_set=0.5))
    own = Flows(*(column[:1] for column in vars(live).values()))
    data = training_flows(training, own)
    assert len(data.label) == 10 + 4 + 1  # as cameras show it, as flow sets do, and the own one
    assert np.array_equal(data.flow[-1], own.flow[0])
