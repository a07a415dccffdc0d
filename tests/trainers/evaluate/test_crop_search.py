"""The search for the crop of a database."""

import numpy as np
import pytest

from merau.engine.recognizer import Recognizer
from merau.trainers.data import flow_set
from merau.trainers.data.synth.flow_fields import FlowSettings, flows
from merau.trainers.evaluate.predict import embed, predict, to_coarse

HOW_MANY = 150


@pytest.fixture(scope="module")
def drawn():
    return flows(np.random.default_rng(8), HOW_MANY, FlowSettings(no_expression=0, as_set=1.0))


def flow_set_of(drawn) -> flow_set.FlowSet:
    text, none = np.full(HOW_MANY, "one"), np.full(HOW_MANY, "")
    pictures = np.zeros((HOW_MANY, 28, 28, 3), np.uint8)
    return flow_set.FlowSet(
        text, text, text, drawn.label, pictures, none, none, none, none, np.full(len(drawn.label), np.nan)
    )


@pytest.mark.parametrize(("place", "gain"), [((0.8, 0.8, 0.0), 0.05), ((1.0, 1.0, 0.0), -0.02)])
def test_crop_search_improves_shifted_crops(drawn, place, gain):
    recognizer, flow = Recognizer.load(device="cpu"), flow_set.transform_flow(drawn.flow, *place)
    as_it_lies = recognizer.head.logits(embed(recognizer, None, flow)[0])
    first = (to_coarse(as_it_lies, recognizer.head.classes).argmax(1) == drawn.label).mean()
    predicted = predict(recognizer, flow_set_of(drawn), flow)
    assert (predicted.classes.argmax(1) == drawn.label).mean() >= first + gain
