"""The durations of what clips show are those of the field's data sets."""

import numpy as np
import pytest

from merau.trainers.data.synth.clips import bumps_of
from merau.trainers.spotting.plans import MODELS, draw_expression, draw_plan


@pytest.mark.parametrize("model", MODELS)
def test_same_seed_gives_the_same_plan(model):
    plans = [draw_plan(np.random.default_rng(3), model) for _ in range(2)]
    assert plans[0] == plans[1]
    assert plans[0].geometry == model


def test_expressions_last_as_measured_ones():
    rng = np.random.default_rng(0)
    skin = bumps_of(draw_plan(rng, "table"))
    spans = {kind: [draw_expression(rng, kind, 1.0, skin) for _ in range(150)] for kind in ("micro", "macro")}
    length_s = {kind: np.array([a.offset_s - a.onset_s for a in found]) for kind, found in spans.items()}
    apex = np.array([(a.apex_s - a.onset_s) / (a.offset_s - a.onset_s) for a in spans["micro"]])
    assert length_s["micro"].max() <= 0.5
    assert np.median(length_s["micro"]) == pytest.approx(0.38, abs=0.05)
    assert length_s["macro"].min() >= 0.6
    assert np.median(apex) == pytest.approx(0.44, abs=0.05)
