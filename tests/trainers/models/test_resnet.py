"""MERAU with the paper's encoder: public weights, training, export, and loading again."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from merau.engine.errors import UserError
from merau.engine.preprocess import GRID
from merau.engine.recognizer import Recognizer
from merau.trainers.data.synth.flow_fields import FlowSettings, flows
from merau.trainers.export.bundle import load_model, trunk_inputs
from merau.trainers.learn.bundle import write_bundle
from merau.trainers.learn.fusion import fuse
from merau.trainers.learn.merau import TrainingPairs, TrainingResult, initial_flow_branch
from merau.trainers.learn.settings import FusionSettings, Setting
from merau.trainers.models import resnet
from merau.trainers.models.merau import Merau, reset_classifier
from merau.trainers.models.resnet import ResNet18, load_weights

RESNET = Setting(None, None, FusionSettings(epochs=2, batch=4), encoder="resnet18")


@pytest.fixture(scope="module", autouse=True)
def quickly():
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resnet, "SIZE_PX", 64)
        yield


def untrained():
    model = Merau(initial_flow_branch(RESNET, None))
    reset_classifier(model, "linear", 4)
    return model


@pytest.fixture(scope="module")
def trained():
    data = flows(np.random.default_rng(0), 4, FlowSettings())
    data.label[:] = range(4)
    model = untrained()
    fuse(model, data, None, RESNET.fusion)
    return TrainingResult(model, ("a", "b", "c", "d"), TrainingPairs(data, None), TrainingPairs(data, None))


def public(**changes):
    """Weights as the public file has them: three channels, and a last layer of its own."""
    weights = {name: value + 1 for name, value in ResNet18().state_dict().items()}
    last = {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    return weights | {"conv1.weight": torch.randn(64, 3, 7, 7)} | last | changes


def test_fuse_moves_each_layer_at_its_rate(trained):
    before, after = untrained().state_dict(), trained.model.state_dict()

    def moved(part):
        return max(float((after[name] - before[name]).abs().max()) for name in before if name.endswith(part))

    assert moved("encoder.conv1.weight") < 1e-4
    assert moved("layer4.1.conv2.weight") < 1e-4
    assert moved("encoder.conv1.weight") > 1e-6
    assert moved("project.0.weight") > 1e-3
    assert moved("aus.weight") > 1e-3


def test_fuse_resumed_gives_equal_weights(trained, tmp_path):
    for epochs in (1, 2):
        model = untrained()
        fuse(model, trained.training.flows, None, replace(RESNET.fusion, epochs=epochs), folder=tmp_path)
    pairs = zip(*(each.state_dict().values() for each in (model, trained.model)), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_write_bundle_answers_like_model(trained, tmp_path):
    write_bundle(trained, tmp_path, name="resnet", flow="farneback", trained_on={})
    inputs = trunk_inputs(0, trained.training.flows.flow[:2])
    again = load_model(tmp_path)
    with torch.no_grad():
        wanted, loaded = (model(*map(torch.from_numpy, inputs.values()))[0].numpy() for model in (trained.model, again))
    assert np.array_equal(wanted, loaded)
    for precision, most in (("fp32", 1e-4), ("int8", 0.2)):
        recognizer = Recognizer.load(tmp_path, device="cpu", precision=precision)
        assert recognizer.bundle.card["input"]["grid"] == GRID
        predicted = recognizer.trunk.embed(**inputs)[0]
        assert np.linalg.norm(predicted - wanted) < most * np.linalg.norm(wanted)
    assert set(recognizer.predict(*np.zeros((2, *recognizer.spec.full), np.uint8)).probabilities) == set("abcd")

    assert type(initial_flow_branch(RESNET, tmp_path).members[0]) is type(trained.model.flow.members[0])
    with pytest.raises(UserError, match="encoder is 'ours', but the encoder of .* is 'resnet18'"):
        initial_flow_branch(replace(RESNET, encoder="ours"), tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_load_weights_public_file_fills_u_and_v(suffix, tmp_path):
    weights, path = public(), tmp_path / f"resnet18{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    net = initial_flow_branch(replace(RESNET, encoder_weights=str(path)), None).members[0].encoder
    assert torch.equal(net.conv1.weight, 1.5 * weights["conv1.weight"][:, :2])
    assert torch.equal(net.layer4[0].downsample[0].weight, weights["layer4.0.downsample.0.weight"])
    assert torch.equal(net.layer4[1].bn2.running_var, weights["layer4.1.bn2.running_var"])
    flow = torch.randn(2, 2, GRID, GRID)
    assert net.eval()(flow).shape == (2, 512)


@pytest.mark.parametrize("content", [b"no weights", {"layer1": torch.zeros(1)}, public(**{"bn1.bias": torch.ones(3)})])
def test_load_weights_of_other_net_is_refused(content, tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UserError, match="holds no weights of ResNet18"):
        load_weights(ResNet18(), path)
