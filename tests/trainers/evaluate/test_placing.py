"""Faces that lie otherwise than the layout are found, and nothing is lost where they do not."""

import numpy as np
import pytest

from engine.recognizer import Recognizer
from trainers.data import flow_set
from trainers.data.synth.flows import FlowSettings, flows
from trainers.evaluate import placing
from trainers.evaluate.answers import answer, embed, expressions

HOW_MANY = 150


@pytest.fixture(scope="module")
def drawn():
    return flows(np.random.default_rng(8), HOW_MANY, FlowSettings(no_expression=0, as_set=1.0))


def flow_set_of(drawn) -> flow_set.FlowSet:
    text, none = np.full(HOW_MANY, "one"), np.full(HOW_MANY, "")
    pictures = np.zeros((HOW_MANY, 28, 28, 3), np.uint8)
    return flow_set.FlowSet(text, text, text, drawn.label, pictures, none, none, none, none)


def test_a_placement_moves_and_enlarges():
    flow = np.zeros((1, 2, 32, 32), np.float32)
    flow[0, 0, 10, 20] = 1
    row, column = np.unravel_index(placing.placed(flow, 1.25, 0.8, 0.0625)[0, 0].argmax(), (32, 32))
    assert (row, column) == (round(15.5 - 0.8 * 5.5 + 2), round(15.5 + 1.25 * 4.5))
    assert np.allclose(placing.placed(flow, 1, 1, 0), flow)


@pytest.mark.parametrize(("place", "gain"), [((0.8, 0.8, 0.0), 0.05), ((1.0, 1.0, 0.0), -0.02)])
def test_how_faces_lie_is_told_without_a_label(drawn, place, gain):
    recognizer, flow = Recognizer.load(device="cpu"), placing.placed(drawn.flow, *place)
    as_it_lies = recognizer.head.logits(embed(recognizer, None, flow)[0])
    first = (expressions(as_it_lies, recognizer.head.classes).argmax(1) == drawn.label).mean()
    said = answer(recognizer, flow_set_of(drawn), flow)
    assert (said.classes.argmax(1) == drawn.label).mean() >= first + gain


def test_a_single_sample_is_answered(drawn):
    one = flow_set_of(drawn).take(np.arange(1))
    assert np.isfinite(answer(Recognizer.load(device="cpu"), one, drawn.flow[:1]).embedding).all()
