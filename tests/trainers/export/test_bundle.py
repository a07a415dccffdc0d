"""What the accuracy gate says of the trunks that ship, and that it refuses what costs too much."""

import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from merau.calib.quantize import AccuracyGate, quantizable_layers, quantization_error, run_trunk
from merau.engine import bundle as bundles
from merau.engine import heads
from merau.engine.bundle import EXTRA_TRUNKS, HEAD, SHIPPED, TRUNKS
from merau.engine.errors import UserError
from merau.trainers.data.synth.action_units import SOURCE
from merau.trainers.data.synth.flow_fields import HARDER, Flows, draw
from merau.trainers.export.bundle import DEFAULT, make_scorer, quantize_trunk, trunk_inputs

DRAWN = {
    "default": HARDER,
    "farneback": replace(HARDER, flow="farneback"),
    "source": replace(HARDER, combinations=SOURCE),
}


def answered(name: str, trunk: str, data: Flows) -> tuple[np.ndarray, np.ndarray]:
    precision = "fp8" if trunk == EXTRA_TRUNKS["fp8"] else "fp32"
    return run_trunk(onnx.load(SHIPPED / name / trunk), trunk_inputs(0, data.flow, known=data.known), precision)


def test_the_gate_is_the_one_that_was_asked_for():
    assert AccuracyGate() == AccuracyGate(min_cosine=0.98, max_drop=0.005)


@pytest.mark.parametrize("name", DRAWN)
def test_what_ships_passes_the_gate(name):
    data = draw(77, 1000, DRAWN[name])
    score = make_scorer(heads.load((SHIPPED / name / HEAD).read_bytes()), data)
    exact = answered(name, TRUNKS["fp32"], data)
    assert score(*exact)["uf1"] > 0.7  # of the classes that the bundle names
    for trunk in (TRUNKS["int8"], EXTRA_TRUNKS["fp8"]):
        paid = quantization_error(exact, answered(name, trunk, data), score)
        assert AccuracyGate().passes(paid) and paid.scores.keys() == {"uf1", "au_auc"}, (trunk, paid)


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(DEFAULT, tmp_path / "copy")


def test_a_trunk_that_loses_uf1_is_refused(copy):
    """Classes that differ in what varies least: rounding confuses them long before the cosine tells."""
    data = draw(78, 600, HARDER)
    embedding, _ = answered("default", TRUNKS["fp32"], data)
    along = np.linalg.svd(embedding - embedding.mean(0))[2][60]
    hairs = embedding @ along
    head = heads.Linear(("a", "b"), np.stack([0 * along, along]), np.array([0, -np.median(hairs)], np.float32))
    heads.save(head, copy / HEAD)
    data = replace(data, label=(hairs > np.median(hairs)).astype(int), aus=np.full_like(data.aus, np.nan))
    with pytest.raises(UserError, match="No layer can be FP8"):
        quantize_trunk(copy, dict(bundles.load(DEFAULT).card), [data], precision="fp8")
    assert (copy / EXTRA_TRUNKS["fp8"]).read_bytes() == (DEFAULT / EXTRA_TRUNKS["fp8"]).read_bytes()


def test_layers_stay_in_fp32_where_action_units_would_suffer(copy):
    """Offsets that cancel between two layers: beside them FP8 has no digits left for the rest."""
    model = onnx.load(copy / TRUNKS["fp32"])
    offset = {tensor.name: tensor for tensor in model.graph.initializer}
    loud = [node for node in quantizable_layers(model) if node.input[1].endswith("aus.weight")][:2]
    for node, sign in zip(loud, (1, -1), strict=True):
        tensor = offset[node.input[2]]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1000 * sign), tensor.name))
    onnx.save(model, copy / TRUNKS["fp32"])
    report = quantize_trunk(copy, dict(bundles.load(DEFAULT).card), [draw(79, 600, HARDER)], precision="fp8")
    kept = {layer.name for layer in report.layers if layer.kept}
    assert kept
    assert kept <= {node.name for node in loud}
