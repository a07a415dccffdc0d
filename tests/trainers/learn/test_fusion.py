"""Training of the flow branch, the apex branch and their fusion."""

import numpy as np
import pytest
import torch

from merau.engine.crop import CropSpec
from merau.engine.preprocess import APEX_PX, split_pattern_and_magnitude
from merau.engine.recognizer import Recognizer
from merau.trainers.data import labelled
from merau.trainers.data.synth.flow_fields import Flows, flows
from merau.trainers.evaluate.synthetic import score
from merau.trainers.export.bundle import DEFAULT, export, load_model
from merau.trainers.learn.apex_branch import pretrain
from merau.trainers.learn.fusion import FlowTraining, add_apex, augment, prototype_loss, train, with_replay
from merau.trainers.learn.settings import DetectorSettings, TcaeSettings
from tests.trainers.easy import EXPRESSIONS


def accuracy(model, data):
    pattern, magnitude = (torch.from_numpy(part) for part in split_pattern_and_magnitude(data.flow, data.known))
    with torch.no_grad():
        predicted = model.eval().classify(model(pattern, magnitude)[0])[:, :3].argmax(1).numpy()
    return float((predicted == data.label).mean())


def test_add_apex_runs_with_and_without_image(easy_model, easy_data, tmp_path):
    faces = torch.rand(64, 1, APEX_PX, APEX_PX)
    few = Flows(*(column[:64] for column in vars(easy_data).values()))
    aus = torch.from_numpy(few.aus)
    module = pretrain(faces, faces.flip(0), aus, TcaeSettings(epochs=1), DetectorSettings(epochs=1))
    fused = add_apex(easy_model, module, few, faces)
    export(fused, tmp_path, name="apex", held_out=[easy_data], trained_on={})
    recognizer = Recognizer.load(tmp_path)
    crop = np.full(CropSpec().full, 128, np.uint8)
    with_image = recognizer.predict(crop, crop)
    assert with_image.embedding.shape == (2 * 64 + 16 + 2 * 24,)  # members, nothing, the apex image's code and units
    alone = score(recognizer, few)
    assert alone["samples"] == 64
    assert alone["acc"] > 0.8


def test_train_unknown_magnitude_is_classified(easy_model, easy_data):
    shown = easy_data.label < 3
    pattern, magnitude = (torch.from_numpy(a) for a in split_pattern_and_magnitude(easy_data.flow[shown], False))
    with torch.no_grad():
        predicted = easy_model.classify(easy_model(pattern, magnitude)[0])[:, :3].argmax(1).numpy()
    assert (predicted == easy_data.label[shown]).mean() > 0.8


def test_train_with_replay_learns_shots_and_keeps_old_data(shot_sets):
    shots, rest = (labelled.read_set(index) for index in shot_sets)
    known, usual = (flows(np.random.default_rng(seed), 300, EXPRESSIONS) for seed in (5, 6))
    before = load_model(DEFAULT)
    settings = FlowTraining(epochs=6, batch=64, rate=1e-3)
    data = with_replay(shots, known, share=0.5)
    after = train(lambda _: data, data, settings, start=before.flow)
    assert accuracy(after, rest) > accuracy(before, rest) + 0.03
    assert accuracy(after, usual) > accuracy(before, usual) - 0.05


def test_augment_moves_flow_and_image_alike():
    torch.manual_seed(0)
    picture = torch.nn.functional.avg_pool2d(torch.rand(8, 1, 48, 48), 17, stride=1)
    down, right = torch.gradient(picture[:, 0], dim=(1, 2))
    flow, moved = augment(torch.stack([right, down], 1), picture)  # of a gradient field, the gradient of what moved
    down, right = torch.gradient(moved[:, 0], dim=(1, 2))
    inner = (..., slice(4, -4), slice(4, -4))
    found, wanted = flow[inner].flatten(1), torch.stack([right, down], 1)[inner].flatten(1)
    assert torch.nn.functional.cosine_similarity(found, wanted).min() > 0.95
    assert not torch.allclose(moved, picture, atol=1e-3)


def test_prototype_loss_by_hand():
    e = torch.tensor([[0.0], [2.0], [1.0], [5.0], [7.0], [4.0]])  # prototypes 1 and 6; 1 and 4 asked
    losses = [np.log(1 + np.exp(0 - 25.0)), np.log(1 + np.exp(4.0 - 9))]
    assert prototype_loss(e, 2, 2).item() == pytest.approx(np.mean(losses), abs=1e-5)
