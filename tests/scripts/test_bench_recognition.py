"""The conditions of bench_recognition, and its crops."""

import numpy as np

from merau.trainers.data.synth.timelines import Action
from scripts.bench_recognition import CONDITIONS, displace, plan_clips


def test_conditions_differ_in_one_setting():
    def moments(actions: tuple[Action, ...]) -> list[tuple[str, float, float]]:
        return [(action.label, action.onset_s, action.apex_s) for action in actions]

    usual, *others = (plan_clips(condition, 1)[0].plan for condition in CONDITIONS)
    for plan, condition in zip(others, CONDITIONS[1:], strict=True):
        assert moments(plan.actions) == moments(usual.actions)
        assert plan.person == usual.person
        differing = {name for name in vars(plan) if getattr(plan, name) != getattr(usual, name)} - {"actions"}
        assert differing <= {*condition.changes, "rate"}
        assert len(differing) <= 1 or differing == set(condition.changes)


def test_displace_moves_the_content():
    crop = np.zeros((1, 100, 100), np.uint8)
    crop[0, 50, 50] = 200
    assert np.argwhere(displace(crop, 0.1, 1.0, 0.0)[0] > 100).tolist() == [[60, 60]]
