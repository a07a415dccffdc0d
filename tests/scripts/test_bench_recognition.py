"""The figures of bench_recognition, on spans, events and crops made by hand."""

import numpy as np
import pytest

from merau.trainers.data.synth.clips import ClipPlan
from merau.trainers.data.synth.timelines import Action
from scripts.bench_recognition import CONDITIONS, clips_of, displaced, found
from scripts.bench_spot import Clip, Heard, Said


def micro(onset_s: float, label: str) -> dict[str, object]:
    return {"kind": "micro", "label": label, "onset_s": onset_s, "apex_s": onset_s + 0.2, "offset_s": onset_s + 0.4}


def test_an_event_is_right_where_it_overlaps_and_has_the_class():
    said = [
        Said("micro", 1.0, 1.2, 1.4, 1.3, 1.5, "positive"),
        Said("micro", 3.0, 3.2, 3.4, 3.3, 3.5, "positive", uncertain=True),
        Said("micro", 8.0, 8.2, 8.4, 8.3, 8.5, "negative"),
    ]
    spans = (micro(1.0, "positive"), micro(3.0, "negative"), micro(6.0, "surprise"))
    figures = found([Heard(Clip("micro", 30.0, 1.0, "face.png", ClipPlan(()), 0), spans, tuple(said), 20.0)])
    assert (figures["true"], figures["said"], figures["found"]) == (3, 3, 2)
    assert figures["f1"] == pytest.approx(0.667)
    assert figures["f1_with_class"] == pytest.approx(0.333)
    assert (figures["right_of_found"], figures["certain_of_found"], figures["right_of_certain"]) == (0.5, 0.5, 1.0)


def test_conditions_differ_in_one_thing_alone():
    def moments(actions: tuple[Action, ...]) -> list[tuple[str, float, float]]:
        return [(action.label, action.onset_s, action.apex_s) for action in actions]

    usual, *others = (clips_of(condition, 1)[0].plan for condition in CONDITIONS)
    for plan, condition in zip(others, CONDITIONS[1:], strict=True):
        assert moments(plan.actions) == moments(usual.actions)
        assert plan.person == usual.person
        differing = {name for name in vars(plan) if getattr(plan, name) != getattr(usual, name)} - {"actions"}
        assert differing <= {*condition.changes, "rate"}
        assert len(differing) <= 1


def test_a_displaced_crop_shows_its_content_elsewhere():
    crop = np.zeros((1, 100, 100), np.uint8)
    crop[0, 50, 50] = 200
    assert np.argwhere(displaced(crop, 0.1, 1.0, 0.0)[0] > 100).tolist() == [[60, 60]]
