"""From drawn flow to a bundle that the engine runs, small: the same steps as `merau-lab train`."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from merau.calib.probability import add_class_bias, fit_temperature
from merau.engine.crop import CropSpec
from merau.engine.heads import softmax
from merau.engine.preprocess import APEX_PX, GRID, split_pattern_and_magnitude
from merau.engine.recognizer import Recognizer
from merau.trainers.cli import main
from merau.trainers.data.synth.action_units import TARGET
from merau.trainers.data.synth.flow_fields import LIVE_SHARE, Flows, FlowSettings, flows
from merau.trainers.evaluate.synthetic import score
from merau.trainers.export.bundle import FALSE_NOTHING, FALSE_SOMETHING, RISK, export, fit_calibration, load_model
from merau.trainers.learn.apex_branch import pretrain
from merau.trainers.learn.fusion import FlowTraining, add_apex, train, with_replay
from merau.trainers.learn.settings import DetectorSettings, TcaeSettings
from merau.trainers.models.merau import Merau
from merau.trainers.models.tcae import Tcae

EASY = FlowSettings(peak_px=(3, 6), noise_px=(0.01, 0.02), head_px=(0.01, 0.02))
FEW = FlowTraining(samples=800, epochs=12, batch=64, nets=1)


@pytest.fixture(scope="module")
def data() -> Flows:
    return flows(np.random.default_rng(0), FEW.samples, EASY)


@pytest.fixture(scope="module")
def model(data) -> Merau:
    return train(data, FEW)


def test_a_bundle_of_easy_flows_answers_easy_flows(model, tmp_path):
    unseen = flows(np.random.default_rng(1), 500, EASY)
    export(model, tmp_path, name="easy", kept_back=[unseen], trained_on={"flows": "easy"})
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


def test_the_worse_of_two_cameras_keeps_its_errors_within_the_risk():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 8000)
    good, bad = (s * np.eye(4)[label] + rng.normal(0, 1, (8000, 4)) for s in (4, 2))
    shift, fitted = fit_calibration([(good, label), (bad, label)])
    assert fitted["temperature"] == max(fit_temperature(add_class_bias(logits, shift), label) for logits in (good, bad))
    for logits in (good, bad):
        said = softmax(add_class_bias(logits, shift) / fitted["temperature"])
        wrong = (said.argmax(1) != label)[said.max(1) >= fitted["threshold"]]
        assert wrong.mean() <= RISK
        none, shown = said[label == 3, -1], said[label < 3, -1]
        assert (none < fitted["something"]).mean() <= FALSE_SOMETHING + 1e-3
        assert (shown > fitted["nothing"]).mean() <= FALSE_NOTHING + 1e-3


def test_no_expression_is_judged_as_often_as_a_camera_shows_none():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 8000)
    posterior = 2 * (2 * np.eye(4)[label] + rng.normal(0, 1, (8000, 4)))  # right where a quarter is none
    shift, _ = fit_calibration([(posterior, label)])
    assert shift == pytest.approx(np.log(LIVE_SHARE / (1 - LIVE_SHARE)) - np.log(1 / 3), abs=0.1)


def test_a_bundle_with_the_apex_branch_runs_with_and_without_a_picture(model, data, tmp_path):
    faces = torch.rand(64, 1, APEX_PX, APEX_PX)
    few = Flows(*(column[:64] for column in vars(data).values()))
    aus = torch.from_numpy(few.aus)
    module = pretrain(faces, faces.flip(0), aus, TcaeSettings(epochs=1), DetectorSettings(epochs=1))
    fused = add_apex(model, module, few, faces)
    export(fused, tmp_path, name="apex", kept_back=[data], trained_on={})
    recognizer = Recognizer.load(tmp_path)
    crop = np.full(CropSpec().full, 128, np.uint8)
    with_picture = recognizer.predict(crop, crop)
    assert with_picture.embedding.shape == (128,)  # two judges of the flow, the code of the apex picture, its units
    alone = score(recognizer, few)
    assert alone["samples"] == 64
    assert alone["acc"] > 0.8


def test_the_judges_of_the_flow_speak_with_one_voice(model):
    flow, magnitude = torch.randn(3, 2, GRID, GRID), torch.zeros(3, 1)
    with torch.no_grad():
        e, aus = model(flow, magnitude)
        alone = [member.classify(member(flow, magnitude)) for member in model.flow.members]
        together = model.classify(e)
    assert e.shape == (3, 80)
    assert aus.shape == (3, 17)
    assert torch.allclose(together, (2 * alone[0] + alone[1]) / 3, atol=1e-5)


def test_a_bundle_can_be_trained_further_on_other_classes(model, data, tmp_path):
    export(model, tmp_path, name="first", kept_back=[data], trained_on={"flows": {"nets": FEW.nets}})
    again = load_model(tmp_path)
    flow, magnitude = torch.randn(3, 2, GRID, GRID), torch.zeros(3, 1)
    with torch.no_grad():
        assert torch.allclose(model(flow, magnitude)[0], again(flow, magnitude)[0], atol=1e-5)
    settings = FlowSettings(peak_px=(3, 6), noise_px=(0.01, 0.02), head_px=(0.01, 0.02), combinations=TARGET)
    few = flows(np.random.default_rng(4), 300, settings)
    further = train(with_replay(few, few), replace(FEW, epochs=2), classes=len(settings.classes), start=again.flow)
    assert further.classify.out_features == 5


def test_an_unknown_magnitude_is_a_valid_input(model, data):
    shown = data.label < 3
    pattern, magnitude = (torch.from_numpy(a) for a in split_pattern_and_magnitude(data.flow[shown], False))
    with torch.no_grad():
        said = model.classify(model(pattern, magnitude)[0])[:, :3].argmax(1).numpy()
    assert (said == data.label[shown]).mean() > 0.8


@pytest.mark.parametrize(("size_px", "base", "features"), [(64, 8, 64), (256, 32, 256)])
def test_tcae_has_the_sizes_of_its_authors_code(size_px, base, features):
    tcae = Tcae(size_px=size_px, base=base).eval()
    aus, pose = tcae.encode(torch.rand(2, 1, size_px, size_px))
    assert aus.shape == pose.shape == (2, features)
    assert tcae.by_aus(aus, aus).shape == (2, 2, size_px, size_px)


def test_tcae_learns_to_move_one_picture_onto_the_other():
    torch.manual_seed(0)
    tcae = Tcae(size_px=32, base=4)
    source = torch.nn.functional.avg_pool2d(torch.rand(16, 1, 40, 40), 9, stride=1)
    target = source.roll(2, dims=-1)
    optimizer = torch.optim.Adam(tcae.parameters(), 2e-3)
    losses = []
    for _ in range(30):
        loss = tcae(source, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_what_a_user_can_mend_is_one_sentence(capsys, tmp_path):
    assert main(["train", "--out", str(tmp_path), "--samples", "0"]) == 1
    assert main(["evaluate", "--bundle", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "FlowTraining.samples is 0: choose 1 or more.",
        f"There is no bundle at {tmp_path / 'none'}: choose default, farneback, source, or the path of a folder or "
        "zip.",
    ]
