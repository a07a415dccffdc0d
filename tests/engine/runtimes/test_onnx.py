import numpy as np
import pytest

from merau.engine import bundle as bundles
from merau.engine.preprocess import split_pattern_and_magnitude
from merau.engine.runtimes.onnx import OnnxTrunk
from merau.trainers.data.synth.flow_fields import HARDER, draw


@pytest.mark.parametrize("name", ["default", "source"])
def test_int8_agrees_with_fp32_on_every_processor(name):
    bundle, data = bundles.load(bundles.SHIPPED / name), draw(7, 1000, HARDER)
    inputs = dict(zip(("flow", "magnitude"), split_pattern_and_magnitude(data.flow, data.known), strict=True))
    exact, rounded = (OnnxTrunk(bundle.content[bundles.TRUNKS[p]]).embed(**inputs)[0] for p in ("fp32", "int8"))
    cosine = (exact * rounded).sum(1) / (np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1))
    assert cosine.min() > 0.97
    assert cosine.mean() > 0.999
