"""Export: what a bundle answers, its calibration, and the accuracy gate of its trunks."""

import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from merau.calib.probability import add_class_bias, fit_temperature
from merau.calib.quantize import AccuracyGate, quantizable_layers, quantization_error, run_trunk
from merau.engine import bundle as bundles
from merau.engine import heads
from merau.engine.bundle import EXTRA_TRUNKS, HEAD, SHIPPED, TRUNKS
from merau.engine.errors import UserError
from merau.engine.heads import softmax
from merau.engine.preprocess import GRID
from merau.engine.recognizer import Recognizer
from merau.trainers.data.synth.action_units import SOURCE, TARGET
from merau.trainers.data.synth.flow_fields import HARDER, LIVE_SHARE, Flows, draw, flows
from merau.trainers.evaluate.synthetic import score
from merau.trainers.export.bundle import (
    DEFAULT,
    FALSE_NOTHING,
    FALSE_SOMETHING,
    RISK,
    export,
    fit_calibration,
    load_model,
    make_scorer,
    quantize_trunk,
    trunk_inputs,
)
from merau.trainers.learn.fusion import train, with_replay
from tests.trainers.easy import EASY, FEW

DRAWN = {
    "default": HARDER,
    "source": replace(HARDER, combinations=SOURCE),
}


def answered(name: str, trunk: str, data: Flows) -> tuple[np.ndarray, np.ndarray]:
    precision = "fp8" if trunk == EXTRA_TRUNKS["fp8"] else "fp32"
    return run_trunk(onnx.load(SHIPPED / name / trunk), trunk_inputs(0, data.flow, known=data.known), precision)


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(DEFAULT, tmp_path / "copy")


def test_export_easy_flows_are_classified(easy_model, tmp_path):
    unseen = flows(np.random.default_rng(1), 500, EASY)
    export(easy_model, tmp_path, name="easy", held_out=[unseen], trained_on={"flows": "easy"})
    recognizer = Recognizer.load(tmp_path)
    same = flows(np.random.default_rng(2), 300, EASY)
    scores = score(recognizer, same)
    assert scores["acc"] > 0.8
    assert scores["au_auc"]["12"] > 0.9
    assert recognizer.bundle.card["calibration"]["int8_cosine"] > 0.99
    upside_down = score(recognizer, replace(same, flow=-same.flow))["domain"]
    assert scores["domain"]["p"] > 0.01
    assert upside_down["p"] < 0.01
    assert upside_down["mmd2"] > 5 * abs(scores["domain"]["mmd2"])


def test_fit_calibration_worst_set_keeps_risk():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 8000)
    good, bad = (s * np.eye(4)[label] + rng.normal(0, 1, (8000, 4)) for s in (4, 2))
    shift, fitted = fit_calibration([(good, label), (bad, label)])
    assert fitted["temperature"] == max(fit_temperature(add_class_bias(logits, shift), label) for logits in (good, bad))
    for logits in (good, bad):
        predicted = softmax(add_class_bias(logits, shift) / fitted["temperature"])
        wrong = (predicted.argmax(1) != label)[predicted.max(1) >= fitted["threshold"]]
        assert wrong.mean() <= RISK
        none, shown = predicted[label == 3, -1], predicted[label < 3, -1]
        assert (none < fitted["something"]).mean() <= FALSE_SOMETHING + 1e-3
        assert (shown > fitted["nothing"]).mean() <= FALSE_NOTHING + 1e-3


def test_fit_calibration_bias_gives_live_share():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 8000)
    posterior = 2 * (2 * np.eye(4)[label] + rng.normal(0, 1, (8000, 4)))  # right where a quarter is none
    shift, _ = fit_calibration([(posterior, label)])
    assert shift == pytest.approx(np.log(LIVE_SHARE / (1 - LIVE_SHARE)) - np.log(1 / 3), abs=0.1)


def test_load_model_trains_further_on_other_classes(easy_model, easy_data, tmp_path):
    export(easy_model, tmp_path, name="first", held_out=[easy_data], trained_on={"flows": {"nets": FEW.nets}})
    again = load_model(tmp_path)
    flow, magnitude = torch.randn(3, 2, GRID, GRID), torch.zeros(3, 1)
    with torch.no_grad():
        assert torch.allclose(easy_model(flow, magnitude)[0], again(flow, magnitude)[0], atol=1e-5)
    settings = replace(EASY, combinations=TARGET)
    few = flows(np.random.default_rng(4), 300, settings)
    further = train(with_replay(few, few), replace(FEW, epochs=2), classes=len(settings.classes), start=again.flow)
    assert further.classify.out_features == 5


def test_gate_has_documented_limits():
    assert AccuracyGate() == AccuracyGate(min_cosine=0.98, max_drop=0.005)


@pytest.mark.parametrize("name", DRAWN)
def test_shipped_trunks_pass_gate(name):
    data = draw(77, 1000, DRAWN[name])
    score = make_scorer(heads.load((SHIPPED / name / HEAD).read_bytes()), data)
    exact = answered(name, TRUNKS["fp32"], data)
    assert score(*exact)["uf1"] > 0.7  # of the classes that the bundle names
    for trunk in (TRUNKS["int8"], EXTRA_TRUNKS["fp8"]):
        paid = quantization_error(exact, answered(name, trunk, data), score)
        assert AccuracyGate().passes(paid) and paid.scores.keys() == {"uf1", "au_auc"}, (trunk, paid)


def test_quantize_trunk_losing_uf1_is_refused(copy):
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


def test_quantize_trunk_keeps_sensitive_au_layers_in_fp32(copy):
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
