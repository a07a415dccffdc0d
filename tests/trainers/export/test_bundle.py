"""Export: what a bundle answers, its calibration, and the accuracy gate of its trunks."""

import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from merau.calib.probability import fit_temperature
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
    calibrated_head,
    export,
    fit_head,
    fit_threshold,
    load_model,
    make_scorer,
    quantize_trunk,
    split_gate,
    trunk_inputs,
)
from merau.trainers.learn.fusion import train
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


def gated(label: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Logits (N, 4) of a gated head that tells three expressions, and last none, by `strength`."""
    rng = np.random.default_rng(seed)
    classes = strength * np.eye(4)[label][:, :3] + rng.normal(0, 1, (len(label), 3))
    gate = strength * (2.0 * (label == 3) - 1) + rng.normal(0, 1, len(label))
    return np.column_stack([classes, gate + np.logaddexp.reduce(classes, axis=1)])


def made(label: np.ndarray, *, known: bool = True) -> Flows:
    nothing = np.zeros((len(label), 0))
    return Flows(nothing, label, nothing, np.zeros(len(label)), np.full(len(label), known))


def test_fit_threshold_worst_set_keeps_risk():
    label = np.random.default_rng(0).integers(0, 4, 8000)
    logits = [gated(label, strength, seed=1) for strength in (4, 2)]
    fitted = fit_threshold([(each, made(label)) for each in logits], risk=0.06)
    for each in logits:
        predicted = softmax(each)
        wrong = (predicted.argmax(1) != label)[predicted.max(1) >= fitted["threshold"]]
        assert wrong.mean() <= 0.06


def test_fit_head_takes_hardest_set_and_live_share():
    label = np.random.default_rng(0).integers(0, 4, 8000)
    easy, hard = gated(label, 1, seed=1), gated(label[label < 3], 0.5, seed=2)
    temperature, (slope, offset) = fit_head([(easy, made(label)), (hard, made(label[label < 3], known=False))])
    assert temperature == fit_temperature(hard[:, :3], label[label < 3])
    assert slope == pytest.approx(2, rel=0.1)  # of the log-odds between normal distributions with means -1 and 1
    share = 1 / (1 + np.exp(-slope * split_gate(easy)[1] - offset))
    weight = np.where(label == 3, LIVE_SHARE / (label == 3).sum(), (1 - LIVE_SHARE) / (label < 3).sum())
    assert (weight * share).sum() == pytest.approx(LIVE_SHARE, abs=0.01)


def test_calibrated_head_scales_classes_and_gate_apart():
    rng = np.random.default_rng(0)
    head = heads.Gated(("a", "b", "none"), *(rng.normal(size=s).astype(np.float32) for s in ((3, 5), 3)))
    e = rng.normal(size=(4, 5)).astype(np.float32)
    classes, gate = split_gate(head.logits(e))
    found, moved = split_gate(calibrated_head(head, 2.0, (3.0, 0.5)).logits(e))
    assert np.allclose(found, classes / 2, atol=1e-5)
    assert np.allclose(moved, 3 * gate + 0.5, atol=1e-4)


def test_load_model_trains_further_on_other_classes(easy_model, easy_data, tmp_path):
    export(easy_model, tmp_path, name="first", held_out=[easy_data], trained_on={"flows": {"nets": FEW.nets}})
    again = load_model(tmp_path)
    flow, magnitude = torch.randn(3, 2, GRID, GRID), torch.zeros(3, 1)
    with torch.no_grad():
        assert torch.allclose(easy_model(flow, magnitude)[0], again(flow, magnitude)[0], atol=1e-5)
    settings = replace(EASY, combinations=TARGET)
    few = flows(np.random.default_rng(4), 300, settings)
    further = train(lambda _: few, few, replace(FEW, epochs=2), classes=len(settings.classes), start=again.flow)
    assert further.classify.out_features == 5


def test_gate_has_documented_limits():
    assert AccuracyGate() == AccuracyGate(min_cosine=0.98, max_drop=0.005)


@pytest.mark.parametrize("name", DRAWN)
def test_shipped_trunks_pass_gate(name):
    data = draw(77, 1000, DRAWN[name])
    score = make_scorer(heads.load((SHIPPED / name / HEAD).read_bytes()), data)
    exact = answered(name, TRUNKS["fp32"], data)
    assert score(*exact)["uf1"] > 0.6  # of the classes that the bundle names; six of them for source
    for trunk in (TRUNKS["int8"], EXTRA_TRUNKS["fp8"]):
        paid = quantization_error(exact, answered(name, trunk, data), score)
        assert AccuracyGate().passes(paid) and paid.scores.keys() == {"uf1", "au_auc"}, (trunk, paid)


NEARLY_CONSTANT = 299  # of the embedding's 339 directions by variance: what rounding alone decides


def test_quantize_trunk_losing_uf1_is_refused(copy):
    """Classes that differ in what varies least: rounding confuses them long before the cosine tells."""
    data = draw(78, 600, HARDER)
    embedding, _ = answered("default", TRUNKS["fp32"], data)
    along = np.linalg.svd(embedding - embedding.mean(0))[2][NEARLY_CONSTANT]
    hairs = embedding @ along
    head = heads.Linear(("a", "b"), np.stack([0 * along, along]), np.array([0, -np.median(hairs)], np.float32))
    heads.save(head, copy / HEAD)
    data = replace(data, label=(hairs > np.median(hairs)).astype(int), aus=np.full_like(data.aus, np.nan))
    with pytest.raises(UserError, match="No layer can be FP8"):
        quantize_trunk(copy, dict(bundles.load(DEFAULT).card), [data], precision="fp8")
    assert (copy / EXTRA_TRUNKS["fp8"]).read_bytes() == (DEFAULT / EXTRA_TRUNKS["fp8"]).read_bytes()


LOUD = 3e5  # an offset


def test_quantize_trunk_keeps_sensitive_au_layers_in_fp32(copy):
    """Offsets that cancel between two layers: beside them FP8 has no digits left for the rest."""
    model = onnx.load(copy / TRUNKS["fp32"])
    offset = {tensor.name: tensor for tensor in model.graph.initializer}
    loud = [node for node in quantizable_layers(model) if node.input[1].endswith("aus.weight")][:2]
    for node, sign in zip(loud, (1, -1), strict=True):
        tensor = offset[node.input[2]]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(LOUD * sign), tensor.name))
    onnx.save(model, copy / TRUNKS["fp32"])
    report = quantize_trunk(copy, dict(bundles.load(DEFAULT).card), [draw(79, 600, HARDER)], precision="fp8")
    kept = {layer.name for layer in report.layers if layer.kept}
    assert kept
    assert kept <= {node.name for node in loud}
